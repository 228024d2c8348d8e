"""Layers of plain chains, which can be left out one by one: the next layers then read what they read."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from search.pruning import ChannelGroup
from search.pruning.tensors import BATCH_NORMS, CONVOLUTIONS, update_sizes
from search.pruning.tracing import Call, Inputs, outputs_of

_POOLS: Mapping[int, Callable[..., Any]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
"""By the number of a picture's axes."""


@dataclass(frozen=True)
class PlainLayer:
    """A linear layer or convolution that is not on a shortcut and shares its outputs with no other layer."""

    layer: str
    """Path of its module."""
    norms: tuple[str, ...]
    """Batch normalisations of its outputs, which go with it."""
    readers: tuple[str, ...]
    """The layers that read its outputs and nothing else."""


class Copy(nn.Module):
    """Replaces a removed layer: returns its input as another tensor, which may be changed in place."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns a copy of ``x``."""
        return x.clone()


def find_plain_layer(
    model: nn.Module, group: ChannelGroup, example: Inputs, call_of: Mapping[str, Call], shapes: Sequence[torch.Size]
) -> PlainLayer | None:
    """Finds the plain layer whose outputs are a group of channels; None if the group is of another kind.

    ``model`` has plain attention; ``call_of`` are its calls, ``shapes`` those of its outputs. The layer's outputs may
    pass through anything that treats channels alike (activation, pooling, flattening, batch normalisation) to the
    layers that read them. The model is tried without it.
    """
    if len(group.layers) != 1 or not group.exact or group.block_size != 1 or group.heads:
        return None
    layer = model.get_submodule(group.layers[0])
    if not _is_plain(layer) or _window(layer) is None:
        return None
    norms, readers = list[str](), list[str]()
    for part in group.slices:
        path, _, attribute = part.tensor.rpartition(".")
        owner = model.get_submodule(path)
        if path == group.layers[0]:
            continue
        if isinstance(owner, BATCH_NORMS):
            norms.append(path)
        elif _is_plain(owner) and attribute == "weight" and part.axis == 1 and _reads_in_order(owner, part.indices):
            readers.append(path)
        else:
            return None
    plain = PlainLayer(group.layers[0], tuple(dict.fromkeys(norms)), tuple(readers))
    return plain if readers and _can_be_left_out(plain, model, example, call_of, shapes) else None


def leave_out(model: nn.Module, plain: PlainLayer) -> None:
    """Changes a model so that it lacks a plain layer.

    A convolution with a stride or without padding becomes an average pooling with outputs of the same size, any other
    layer passes its input on. Its readers then have as many inputs as it had, with weights that weigh them as the layer
    did (:func:`_inherit`).
    """
    layer: Any = model.get_submodule(plain.layer)
    response = _response(layer, [model.get_submodule(path) for path in plain.norms])
    for path in plain.readers:
        reader: Any = model.get_submodule(path)
        weight = _inherit(reader.weight.detach(), response)
        reader.weight = nn.Parameter(weight, requires_grad=reader.weight.requires_grad)
        update_sizes(reader)
    for path in plain.norms:
        model.set_submodule(path, nn.Identity())
    model.set_submodule(plain.layer, _stand_in(layer))


def _response(layer: Any, norms: Sequence[Any]) -> Tensor:
    """Returns the response of each output to a constant input of each channel, ``(outputs, inputs)``, with the
    normalisations behind it."""
    response: Tensor = layer.weight.detach().flatten(2).sum(2) if layer.weight.ndim > 2 else layer.weight.detach()
    for norm in norms:
        if norm.running_var is not None:
            response = response / (norm.running_var + norm.eps).sqrt()[:, None]
        if norm.weight is not None:
            response = response * norm.weight.detach()[:, None]
    return response


def _inherit(weight: Tensor, response: Tensor) -> Tensor:
    """Returns a reader's weights for the inputs of the layer before it: the product with that layer's response.

    Scaled to the spread of the weights before, without which products of several layers grow.
    """
    by_channel = weight.reshape(len(weight), len(response), -1, *weight.shape[2:])
    product = torch.einsum("oc...,ci->oi...", by_channel, response).flatten(1, 2)
    return product * (weight.std(correction=0) / product.std(correction=0).clamp_min(1e-12))


def _stand_in(layer: Any) -> nn.Module:
    window = _window(layer)
    if not window or {*window, *layer.stride} == {1}:
        return Copy()
    pooling: nn.Module = _POOLS[len(window)](window, layer.stride)
    return pooling


def _window(layer: Any) -> tuple[int, ...] | None:
    """Returns the window of the pooling that gives outputs of a convolution's size; empty for a linear layer, None if
    there is none."""
    if isinstance(layer, nn.Linear):
        return ()
    if layer.padding == "same":
        return (1,) * len(layer.kernel_size)
    padding = (0,) * len(layer.kernel_size) if layer.padding == "valid" else layer.padding
    sizes = zip(layer.kernel_size, layer.dilation, padding, strict=True)
    window = tuple(dilation * (kernel - 1) + 1 - 2 * pad for kernel, dilation, pad in sizes)
    return window if all(size >= 1 for size in window) else None


def _is_plain(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or (isinstance(layer, CONVOLUTIONS) and layer.groups == 1)


def _reads_in_order(reader: Any, indices: Sequence[Sequence[int]]) -> bool:
    """Returns whether a layer reads these channels alone, one behind the other."""
    return [index for members in indices for index in members] == list(range(reader.weight.shape[1]))


def _can_be_left_out(
    plain: PlainLayer, model: nn.Module, example: Inputs, call_of: Mapping[str, Call], shapes: Sequence[torch.Size]
) -> bool:
    if any(path not in call_of or call_of[path].count != 1 for path in (plain.layer, *plain.norms, *plain.readers)):
        return False
    changed = copy.deepcopy(model)
    try:
        leave_out(changed, plain)
        outputs = outputs_of(changed, example)
    except Exception:  # noqa: BLE001 - a model's own code may raise anything
        return False
    return [output.shape for output in outputs] == shapes
