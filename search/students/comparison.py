"""A student beside its teacher, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from search.pruning.attention import with_plain_attention
from search.pruning.tensors import LAYERS


@dataclass(frozen=True)
class LayerSize:
    """The size of a layer with weights."""

    outputs: int
    """Channels or features that it gives."""
    parameters: int


def layer_sizes(module: nn.Module) -> Mapping[str, LayerSize]:
    """Returns the sizes of a module's linear and convolution layers by path, in the module's order; those of attention
    are its linear layers."""
    return {
        name: LayerSize(_outputs(layer), _count(layer))
        for name, layer in with_plain_attention(module).named_modules()
        if isinstance(layer, LAYERS)
    }


def compare_layers(teacher: nn.Module, student: nn.Module) -> dict[str, str]:
    """Returns what became of each layer of a teacher, in words, by path.

    >>> compare_layers(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)), nn.Sequential(nn.Linear(4, 8), nn.Identity()))
    {'0': '8 outputs, 40 parameters', '1': 'left out (2 outputs, 18 parameters)'}
    """
    left = layer_sizes(student)
    return {name: _in_words(size, left.get(name)) for name, size in layer_sizes(teacher).items()}


def _in_words(before: LayerSize, after: LayerSize | None) -> str:
    if after is None:
        return f"left out ({before.outputs} outputs, {before.parameters:,} parameters)"
    if after == before:
        return f"{before.outputs} outputs, {before.parameters:,} parameters"
    outputs = f"{before.outputs} → {after.outputs}" if after.outputs != before.outputs else f"{before.outputs}"
    return f"{outputs} outputs, {before.parameters:,} → {after.parameters:,} parameters"


def _count(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


def _outputs(layer: nn.Module) -> int:
    return int(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)  # type: ignore[arg-type]
