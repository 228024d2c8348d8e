"""A smaller copy of a model, without the channels and blocks that are not kept."""

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

Kept = Mapping[Group, Sequence[int]]
"""For each group that changes, the channels that stay: a block group's are ``(0,)`` or none."""


class PassOn(nn.Module):
    """Stands where a block was: gives back its first input."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        attention = getattr(block, "self_attn", None)
        if attention is not None:
            # torch.nn.TransformerEncoder asks its first layer for this.
            self.self_attn = SimpleNamespace(batch_first=getattr(attention, "batch_first", False))

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        """``x`` as it is."""
        return x


def prune(model: nn.Module, kept: Kept) -> nn.Module:
    """A copy of the model with only these channels of these groups; groups that are not named keep all of theirs.

    The original is left alone. In the copy each :class:`torch.nn.MultiheadAttention` is made of plain layers, and a
    block that is left out passes its input on. Raises :class:`InvalidInput` for channels that a group does not have or
    that split its blocks, and for groups of another model.
    """
    changed = with_plain_attention(model)
    tensors = Tensors(changed)
    for (name, axis), gone in _removed(kept, tensors).items():
        tensor = tensors.by_name[name]
        stays = [index for index in range(tensor.shape[axis]) if index not in gone]
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
                setattr(attention, count, len(group.kept_blocks(channels)))
    _leave_out(changed, kept)
    return changed


def zeroed(model: nn.Module, kept: Kept) -> nn.Module:
    """A copy of the model, of its full size, whose weights of all channels that are not kept are zero.

    What it computes is what :func:`prune` gives where the groups are ``exact``. Block groups are left out as there.
    """
    changed = with_plain_attention(model)
    tensors = Tensors(changed)
    for (name, axis), gone in _removed(kept, tensors).items():
        tensor = tensors.by_name[name]
        if isinstance(tensor, nn.Parameter):
            with torch.no_grad():
                tensor.index_fill_(axis, torch.tensor(sorted(gone), dtype=torch.long, device=tensor.device), 0.0)
    _leave_out(changed, kept)
    return changed


def parameter_count(model: nn.Module, kept: Kept | None = None) -> int:
    """How many parameters the model has, or would have with these channels of these groups; shared ones count once.

    Nothing is built. Raises as :func:`prune`.
    """
    plain = with_plain_attention(model)
    tensors = Tensors(plain)
    gone: defaultdict[str, dict[int, int]] = defaultdict(dict)
    left_out = []
    for (name, axis), indices in _removed(kept or {}, tensors).items():
        gone[name][axis] = len(indices)
    for group, channels in (kept or {}).items():
        if isinstance(group, BlockGroup) and _is_left_out(group, channels):
            left_out.append(_submodule(plain, group))
    elsewhere = {id(p) for p in plain.parameters()} - {id(p) for block in left_out for p in block.parameters()}
    return sum(
        math.prod(size - gone[name].get(axis, 0) for axis, size in enumerate(tensor.shape))
        for name, tensor in tensors.by_name.items()
        if isinstance(tensor, nn.Parameter) and id(tensor) in elsewhere
    )


def _removed(kept: Kept, tensors: Tensors) -> dict[tuple[str, int], set[int]]:
    """The indices that go, by tensor and axis."""
    gone: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for group, channels in kept.items():
        if isinstance(group, BlockGroup):
            continue
        stays = set(group.kept_blocks(channels))
        for part in group.slices:
            shape = tensors.by_name[part.tensor].shape if part.tensor in tensors.by_name else ()
            if part.axis >= len(shape) or max(map(max, part.indices)) >= shape[part.axis]:
                raise InvalidInput(
                    f"{group.name}: the model has no {part.tensor} of this group's shape",
                    "find the groups of the very model that is to be pruned",
                )
            for number, indices in enumerate(part.indices):
                if number not in stays:
                    gone[part.tensor, part.axis].update(indices)
    return {key: indices for key, indices in gone.items() if indices}


def _leave_out(model: nn.Module, kept: Kept) -> None:
    for group, channels in kept.items():
        if isinstance(group, BlockGroup) and _is_left_out(group, channels):
            model.set_submodule(group.module, PassOn(_submodule(model, group)))


def _is_left_out(group: BlockGroup, channels: Sequence[int]) -> bool:
    if tuple(channels) not in ((), (0,)):
        raise InvalidInput(f"{group.name}: a block has one channel to keep", "give (0,) to keep it, () to leave it out")
    return not channels


def _submodule(model: nn.Module, group: BlockGroup) -> nn.Module:
    try:
        return model.get_submodule(group.module)
    except AttributeError:
        raise InvalidInput(
            f"{group.name}: the model has no module {group.module}",
            "find the groups of the very model that is to be pruned",
        ) from None
