"""Batch normalisation folded into the layers before it, so that a channel is looked at where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from search.pruning.groups import ChannelGroup
from search.pruning.tensors import BATCH_NORMS, CONVOLUTIONS
from search.pruning.tracing import Inputs, hooked


def fold_batch_norms(model: nn.Module, example: Inputs) -> None:
    """Folds each batch normalisation that reads exactly one convolution's or linear layer's output into that layer, in
    place; the model is in evaluation mode and computes the same as before."""
    makers: dict[int, str] = {}
    held: list[Any] = []
    pairs: dict[str, str] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        held.extend([inputs, output])  # so that no identity is used twice
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            makers[id(output)] = name
        elif isinstance(module, BATCH_NORMS) and module.running_mean is not None and id(inputs[0]) in makers:
            pairs[name] = makers[id(inputs[0])]

    with hooked(model, note), torch.no_grad():
        model(*example)
    for norm, layer in pairs.items():
        if list(pairs.values()).count(layer) > 1:
            continue
        before, after = model.get_submodule(layer), model.get_submodule(norm)
        fuse: Any = fuse_linear_bn_eval if isinstance(before, nn.Linear) else fuse_conv_bn_eval
        model.set_submodule(layer, fuse(before, after))
        model.set_submodule(norm, nn.Identity())


def channel_axis(layer: nn.Module) -> int:
    """Where a layer's output has its channels."""
    return -1 if isinstance(layer, nn.Linear) else 1


def producers_of(groups: Sequence[ChannelGroup]) -> dict[str, list[tuple[str, tuple[tuple[int, ...], ...]]]]:
    """By layer, the groups that have channels of its output, and which."""
    found: dict[str, list[tuple[str, tuple[tuple[int, ...], ...]]]] = {}
    for group in groups:
        for producer in group.producers:
            found.setdefault(producer.layer, []).append((group.name, producer.indices))
    return found
