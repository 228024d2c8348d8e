"""Surgery: copies a model without the channels and blocks that are pruned."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput
from search.pruning.attention import with_plain_attention
from search.pruning.groups import BlockGroup, Group
from search.pruning.tensors import HEAD_COUNTS, Tensors, first_of, update_sizes

ChannelsToKeep = Mapping[Group, Sequence[int]]
"""Channels that stay, by group that changes; for a block group ``(0,)`` or none."""


class PassOn(nn.Module):
    """Replaces a removed block: returns its first input."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        attention = getattr(block, "self_attn", None)
        if attention is not None:
            # torch.nn.TransformerEncoder reads this from its first layer.
            self.self_attn = SimpleNamespace(batch_first=getattr(attention, "batch_first", False))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Returns ``x``."""
        return x


def prune(model: nn.Module, kept: ChannelsToKeep) -> nn.Module:
    """Copies the model with only the ``kept`` channels; groups that are left out keep all of their channels.

    Leaves the original unchanged. In the copy each :class:`torch.nn.MultiheadAttention` consists of plain layers, and
    a removed block passes its input on. Raises :class:`InvalidInput` for channels that a group does not have or that
    split its blocks, and for groups of another model.
    """
    changed = with_plain_attention(model)
    tensors = Tensors(changed)
    for (name, axis), removals in _indices_to_remove(kept, tensors).items():
        tensor = tensors.by_name[name]
        stays = [index for index in range(tensor.shape[axis]) if index not in removals]
        chosen = torch.tensor(stays, dtype=torch.long, device=tensor.device)
        tensors.replace(name, tensor.detach().index_select(axis, chosen).clone())
    for module in changed.modules():
        update_sizes(module)
    for group, channels in kept.items():
        if isinstance(group, BlockGroup):
            continue
        for path in group.heads:
            attention = changed.get_submodule(path)
            count = first_of(HEAD_COUNTS, attention)
            if count is not None:
                setattr(attention, count, len(group.blocks_of(channels)))
    _leave_out(changed, kept)
    return changed


def zero_channels(model: nn.Module, kept: ChannelsToKeep) -> nn.Module:
    """Copies the model at full size with zero weights in all channels that are not ``kept``.

    Computes the same as the result of :func:`prune` if the groups are ``exact``. Removes block groups likewise.
    """
    changed = with_plain_attention(model)
    tensors = Tensors(changed)
    for (name, axis), removals in _indices_to_remove(kept, tensors).items():
        tensor = tensors.by_name[name]
        if isinstance(tensor, nn.Parameter):
            with torch.no_grad():
                tensor.index_fill_(axis, torch.tensor(sorted(removals), dtype=torch.long, device=tensor.device), 0.0)
    _leave_out(changed, kept)
    return changed


def parameter_count(model: nn.Module, kept: ChannelsToKeep | None = None) -> int:
    """Counts the model's parameters, now or with only the ``kept`` channels; shared ones count once.

    Builds nothing. Raises as :func:`prune`.
    """
    plain = with_plain_attention(model)
    tensors = Tensors(plain)
    removals: defaultdict[str, dict[int, int]] = defaultdict(dict)
    removed_blocks = []
    for (name, axis), indices in _indices_to_remove(kept or {}, tensors).items():
        removals[name][axis] = len(indices)
    for group, channels in (kept or {}).items():
        if isinstance(group, BlockGroup) and _is_left_out(group, channels):
            removed_blocks.append(_submodule(plain, group))
    remaining = {id(p) for p in plain.parameters()} - {id(p) for block in removed_blocks for p in block.parameters()}
    return sum(
        math.prod(size - removals[name].get(axis, 0) for axis, size in enumerate(tensor.shape))
        for name, tensor in tensors.by_name.items()
        if isinstance(tensor, nn.Parameter) and id(tensor) in remaining
    )


def _indices_to_remove(kept: ChannelsToKeep, tensors: Tensors) -> dict[tuple[str, int], set[int]]:
    """Collects the indices to remove, by tensor and axis."""
    removals: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for group, channels in kept.items():
        if isinstance(group, BlockGroup):
            continue
        stays = set(group.blocks_of(channels))
        for part in group.slices:
            shape = tensors.by_name[part.tensor].shape if part.tensor in tensors.by_name else ()
            if part.axis >= len(shape) or max(map(max, part.indices)) >= shape[part.axis]:
                raise InvalidInput(
                    f"{group.name}: the model has no {part.tensor} of this group's shape",
                    "compute the groups of this model with channel_groups",
                )
            for number, indices in enumerate(part.indices):
                if number not in stays:
                    removals[part.tensor, part.axis].update(indices)
    return {key: indices for key, indices in removals.items() if indices}


def _leave_out(model: nn.Module, kept: ChannelsToKeep) -> None:
    for group, channels in kept.items():
        if isinstance(group, BlockGroup) and _is_left_out(group, channels):
            model.set_submodule(group.module, PassOn(_submodule(model, group)))


def _is_left_out(group: BlockGroup, channels: Sequence[int]) -> bool:
    if tuple(channels) not in ((), (0,)):
        raise InvalidInput(f"{group.name}: a block has one channel to keep", "give (0,) to keep it, () to remove it")
    return not channels


def _submodule(model: nn.Module, group: BlockGroup) -> nn.Module:
    try:
        return model.get_submodule(group.module)
    except AttributeError:
        raise InvalidInput(
            f"{group.name}: the model has no module {group.module}",
            "compute the groups of this model with block_groups",
        ) from None
