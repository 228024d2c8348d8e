"""Residual blocks that can be removed whole."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from search.pruning.attention import with_plain_attention
from search.pruning.groups import BlockGroup
from search.pruning.names import unique_names
from search.pruning.tracing import Inputs, calls

TOLERANCE = 1e-4


def block_groups(model: nn.Module, example: Inputs, *, nested: bool = False) -> tuple[BlockGroup, ...]:
    """Finds the innermost blocks that return their input if all their weights are zero, in the model's order.

    Such a block has a shortcut without a layer, and an output of its input's shape, so that the other layers still get
    inputs like those they were trained on without it (Veit et al., NeurIPS 2016, removed such blocks without
    retraining). A layer normalisation may follow the sum. Skips blocks that are called several times.

    If ``nested``, also finds the blocks that consist of one of these and further layers, such as an encoder's layer
    around a block of attention.
    """
    plain = with_plain_attention(model).eval()
    blocks: list[str] = []
    call_of = calls(plain, example)
    for name, module in reversed(list(plain.named_modules())):
        call = call_of.get(name)
        if not name or call is None or call.count != 1 or not list(module.children()):
            continue
        inside = [block for block in blocks if block.startswith(f"{name}.")]
        if inside and not (nested and len(inside) == 1 and _has_more_layers(plain, name, inside[0])):
            continue
        before, after = call.first, call.output
        if not isinstance(before, Tensor) or not isinstance(after, Tensor) or before.shape != after.shape:
            continue
        if before.is_floating_point() and list(module.parameters()) and _passes_input(plain, name, example):
            blocks.append(name)
    blocks.reverse()
    names = unique_names(plain, [[name] for name in blocks])
    return tuple(BlockGroup(name, module) for name, module in zip(names, blocks, strict=True))


def _has_more_layers(model: nn.Module, outer: str, inner: str) -> bool:
    """Returns whether a module has weight matrices or kernels outside of one of its parts."""
    part = {id(parameter) for parameter in model.get_submodule(inner).parameters()}
    return any(p.ndim > 1 and id(p) not in part for p in model.get_submodule(outer).parameters())


def _passes_input(model: nn.Module, name: str, example: Inputs) -> bool:
    """Returns whether the block with zero weights (ones in layer normalisations) returns its input, plain or
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
    normalised = (nn.functional.layer_norm(before, size), nn.functional.rms_norm(before, size))
    # Over a single value a normalisation gives zeros, which tell nothing.
    candidates = [before, *(tensor for tensor in normalised if tensor.any())]
    return any(
        torch.allclose(after, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max())) for expected in candidates
    )
