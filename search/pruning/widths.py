"""Widths that a group can be pruned to, and the channels that stay."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from evaluators.probing.capability import Capability, round_width_up
from hwprofiles import Precision
from hwprofiles.errors import InvalidInput
from search.pruning.groups import BlockGroup, ChannelGroup, Group


def channel_step(
    capability: Capability | None, group: ChannelGroup, precisions: Iterable[Precision] = (Precision.FP32,)
) -> int:
    """Returns the step of a device's latency by the group's width: the largest over its operators and ``precisions``.
    1 if latency grows smoothly or the device was not probed."""
    if capability is None:
        return 1
    return max(
        (round_width_up(capability, operator, kind, 1) for kind in precisions for operator in group.operators),
        default=1,
    )


def width_choices(group: Group, ratios: Sequence[float], step: int = 1) -> tuple[int, ...]:
    """Lists the widths that a group can be pruned to, in channels: its full width, then one per keep-ratio in
    ``(0, 1]``, widest first and without repeats.

    Rounds widths up to whole blocks and multiples of ``step``, since widths in between take as long; only to whole
    blocks if no multiple of both is below the full width. Widths are above 0. A block group always has 1 and 0. Raises
    :class:`InvalidInput` for a ratio outside of ``(0, 1]``.
    """
    if isinstance(group, BlockGroup):
        return (1, 0)
    if any(not 0 < ratio <= 1 for ratio in ratios):
        raise InvalidInput("keep-ratios must be above 0 and at most 1", "for example, 0.5 keeps half of the channels")
    unit = math.lcm(group.block_size, step)
    if unit >= group.channels:
        unit = group.block_size
    # The epsilon makes 0.7 of 10 channels 7, not 8.
    widths = (math.ceil(group.channels * ratio / unit - 1e-9) * unit for ratio in ratios)
    return tuple(sorted({group.channels, *(min(max(unit, width), group.channels) for width in widths)}, reverse=True))


def best_channels(group: ChannelGroup, scores: NDArray[np.float64], width: int) -> tuple[int, ...]:
    """Chooses the ``width`` channels to keep, in order: those of the blocks with the highest mean score, the first of
    equal ones.

    ``scores`` is ``(channels,)``. Raises :class:`InvalidInput` for another shape, scores that are not finite, and a
    width of no or partial blocks.
    """
    if scores.shape != (group.channels,) or not np.isfinite(scores).all():
        raise InvalidInput(f"{group.name}: scores are missing or not finite", f"give {group.channels} finite scores")
    if width % group.block_size or not group.block_size <= width <= group.channels:
        raise InvalidInput(
            f"{group.name}: {width} channels are no whole blocks of {group.block_size}",
            f"choose a multiple of {group.block_size} up to {group.channels}",
        )
    means = np.array([scores[list(members)].mean() for members in group.blocks])
    chosen = np.argsort(-means, kind="stable")[: width // group.block_size]
    return tuple(sorted(channel for number in chosen for channel in group.blocks[number]))
