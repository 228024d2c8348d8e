"""The structural view of a teacher: its layers and blocks in order, as far as a student may lack or narrow them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from search.pruning import BlockGroup, ChannelGroup, block_groups, channel_groups
from search.pruning.attention import with_plain_attention
from search.pruning.tensors import BY_CHANNEL, LAYERS, OVER_CHANNELS, TRANSPOSED
from search.pruning.tracing import Call, Inputs, calls, outputs_of
from search.space.encoding import UnitEncoding, UnitKind
from search.students.plain_layers import PlainLayer, find_plain_layer
from search.students.skips import Skips, find_skips

Removal = BlockGroup | PlainLayer
"""What a student may lack."""

_ELEMENTWISE = (*BY_CHANNEL, *OVER_CHANNELS, nn.PReLU)


@dataclass(frozen=True)
class Unit:
    """A block or layer of a teacher, or several layers with common channels."""

    name: str
    """Unique in the view; as in the exported ONNX file, if that has the same layers."""
    encoding: UnitEncoding
    layers: tuple[str, ...]
    """Paths of the modules that give its channels; of a block all layers inside."""
    group: ChannelGroup | None = None
    """Its channels, if their number can shrink."""
    removal: Removal | None = None
    """How it can be removed, if it can."""


def find_units(teacher: nn.Module, example: Inputs) -> tuple[Unit, ...]:
    """Finds the units of a teacher, in the order of their first calls. Leaves the teacher unchanged.

    Blocks with a plain shortcut are removable whole, and so is each layer of a plain chain that is in no such block; a
    block whose shortcut has a layer is not, but its inner layer may be. Every group of channels can shrink. Raises
    :class:`InvalidInput` if the teacher cannot be traced.
    """
    plain = with_plain_attention(teacher).eval()
    call_of, skips = calls(plain, example), find_skips(plain, example)
    order = {name: number for number, name in enumerate(call_of)}
    shapes = [output.shape for output in outputs_of(plain, example)]
    blocks = block_groups(teacher, example, nested=True)
    units = []
    for block in blocks:
        layers = _layers_inside(plain, block.module, order)
        units.append(Unit(block.name, _encode_block(plain, layers, call_of[block.module]), layers, removal=block))
    taken = {unit.name for unit in units}
    for group in channel_groups(teacher, example):
        is_inside = any(layer.startswith(f"{block.module}.") for layer in group.layers for block in blocks)
        removal = None if is_inside else find_plain_layer(plain, group, example, call_of, shapes)
        name = f"{group.name}#width" if group.name in taken else group.name
        units.append(Unit(name, _encode_group(plain, group, skips), _giving(plain, group), group, removal))
    return tuple(sorted(units, key=lambda unit: (min(order[layer] for layer in unit.layers), unit.group is not None)))


def _layers_inside(model: nn.Module, block: str, order: Mapping[str, int]) -> tuple[str, ...]:
    inside = (name for name, part in model.named_modules() if name.startswith(f"{block}.") and name in order)
    return tuple(sorted((n for n in inside if isinstance(model.get_submodule(n), LAYERS)), key=order.__getitem__))


def _giving(model: nn.Module, group: ChannelGroup) -> tuple[str, ...]:
    """Lists the modules that give a group's channels: its layers, embeddings, and the owners of other parameters."""
    owners = dict.fromkeys(part.tensor.rpartition(".")[0] for part in group.slices)
    others = (path for path in owners if not isinstance(model.get_submodule(path), (*LAYERS, *_ELEMENTWISE)))
    return (*group.layers, *others)


def _encode_block(model: nn.Module, layers: tuple[str, ...], call: Call) -> UnitEncoding:
    """Encodes a block by the first of its layers that has a window."""
    encodings = [_encode_layer(model.get_submodule(layer)) for layer in layers]
    widest = max(encodings, key=lambda encoding: encoding.kernel)
    return UnitEncoding(
        "block", widest.kernel, 1, widest.padding, _channels(call.output, encodings[0].kind), True, True
    )


def _encode_group(model: nn.Module, group: ChannelGroup, skips: Skips) -> UnitEncoding:
    first = _encode_layer(model.get_submodule(group.layers[0]))
    layers = set(group.layers)
    return UnitEncoding(
        "attention" if group.heads else first.kind, first.kernel, first.stride, first.padding, group.channels,
        bool(layers & skips.starts), bool(layers & skips.ends),
    )  # fmt: skip


def _encode_layer(layer: Any) -> UnitEncoding:
    if isinstance(layer, nn.Linear):
        return UnitEncoding("linear", 1, 1, 0, layer.out_features)
    kind: UnitKind = "transposed" if isinstance(layer, TRANSPOSED) else "conv"
    if kind == "conv" and layer.groups == layer.in_channels > 1:
        kind = "depthwise"
    padding = 0 if layer.padding == "valid" else layer.padding
    if padding == "same":
        padding = [(size - 1) // 2 for size in layer.kernel_size]
    return UnitEncoding(kind, max(layer.kernel_size), max(layer.stride), _largest(padding), layer.out_channels)


def _largest(sizes: int | tuple[int, ...] | list[int]) -> int:
    return sizes if isinstance(sizes, int) else max(sizes)


def _channels(output: Any, kind: UnitKind) -> int:
    return int(output.shape[-1 if kind == "linear" else 1])
