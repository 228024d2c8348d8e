"""Folding of batch normalisation into the preceding layers, so that criteria see channels as they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from search.pruning.groups import ChannelGroup
from search.pruning.tensors import BATCH_NORMS, CONVOLUTIONS
from search.pruning.tracing import Inputs, forward_hooks


def fold_batch_norms(model: nn.Module, example: Inputs) -> None:
    """Folds each batch normalisation into the single convolution or linear layer that it reads, in place.

    The model must be in evaluation mode; it computes the same as before.
    """
    producers: dict[int, str] = {}
    references: list[Any] = []
    pairs: dict[str, str] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        references.extend([inputs, output])  # keeps tensors alive, so that no id is reused
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            producers[id(output)] = name
        elif isinstance(module, BATCH_NORMS) and module.running_mean is not None and id(inputs[0]) in producers:
            pairs[name] = producers[id(inputs[0])]

    with forward_hooks(model, note), torch.no_grad():
        model(*example)
    for norm, layer in pairs.items():
        if list(pairs.values()).count(layer) > 1:
            continue
        before, after = model.get_submodule(layer), model.get_submodule(norm)
        fuse: Any = fuse_linear_bn_eval if isinstance(before, nn.Linear) else fuse_conv_bn_eval
        model.set_submodule(layer, fuse(before, after))
        model.set_submodule(norm, nn.Identity())


def channel_axis(layer: nn.Module) -> int:
    """Returns the channel axis of a layer's output."""
    return -1 if isinstance(layer, nn.Linear) else 1


def producers_of(groups: Sequence[ChannelGroup]) -> dict[str, list[tuple[str, tuple[tuple[int, ...], ...]]]]:
    """Lists by layer the groups that contain channels of its output, with the channels of each block."""
    by_layer: dict[str, list[tuple[str, tuple[tuple[int, ...], ...]]]] = {}
    for group in groups:
        for producer in group.producers:
            by_layer.setdefault(producer.layer, []).append((group.name, producer.indices))
    return by_layer
