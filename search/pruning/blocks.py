"""Residual blocks that can be left out whole."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from search.pruning.attention import with_plain_attention
from search.pruning.groups import BlockGroup
from search.pruning.names import unique_names
from search.pruning.tracing import Inputs, calls

TOLERANCE = 1e-4


def block_groups(model: nn.Module, example: Inputs) -> tuple[BlockGroup, ...]:
    """The innermost blocks that give back their input where all their layers are zero, in the model's order.

    Such a block has a shortcut without a layer of its own, and an output of its input's shape: leaving it out
    keeps what the rest was trained on (Veit et al., NeurIPS 2016, removed such blocks without retraining). A layer
    normalisation after the sum may stay between input and output. Blocks that are called several times are left alone.
    """
    plain = with_plain_attention(model).eval()
    found: list[str] = []
    called = calls(plain, example)
    for name, module in reversed(list(plain.named_modules())):
        call = called.get(name)
        if not name or call is None or call.count != 1 or not list(module.children()):
            continue
        if any(inner.startswith(f"{name}.") for inner in found):
            continue
        before, after = call.first, call.output
        if not isinstance(before, Tensor) or not isinstance(after, Tensor) or before.shape != after.shape:
            continue
        if before.is_floating_point() and list(module.parameters()) and _passes_on(plain, name, example):
            found.append(name)
    found.reverse()
    names = unique_names(plain, [[name] for name in found])
    return tuple(BlockGroup(name, module) for name, module in zip(names, found, strict=True))


def _passes_on(model: nn.Module, name: str, example: Inputs) -> bool:
    """Whether the block, with zeros for weights (and ones in layer normalisations), gives its input, or that
    normalised."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for module in changed.get_submodule(name).modules():
            for attribute, parameter in module.named_parameters(recurse=False):
                scale = isinstance(module, nn.LayerNorm | nn.RMSNorm) and attribute == "weight"
                parameter.fill_(1.0 if scale else 0.0)
    call = calls(changed, example)[name]
    before, after = call.first, call.output
    size = before.shape[-1:]
    candidates = (before, nn.functional.layer_norm(before, size), nn.functional.rms_norm(before, size))
    largest = max(1e-6, float(after.abs().max()))
    return any(torch.allclose(after, one, rtol=0, atol=TOLERANCE * largest) for one in candidates)
