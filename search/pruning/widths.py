"""Which widths a group may have, and which of its channels stay."""

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
    """The step in which a device's latency grows with the group's width: the largest over its operators and these
    precisions. 1 where latency grows smoothly, or the device was not probed."""
    if capability is None:
        return 1
    return max(
        (round_width_up(capability, operator, one, 1) for one in precisions for operator in group.operators), default=1
    )


def kept_widths(group: Group, ratios: Sequence[float], step: int = 1) -> tuple[int, ...]:
    """The widths that a group has to choose from, in channels: its own first, then one for each keep-ratio in
    ``(0, 1]``, widest first and each once.

    A width is rounded up to whole blocks and whole multiples of ``step``, since what lies between costs as much; to
    whole blocks alone where no multiple of both is below the full width. It is never 0. A block group has 1 and 0,
    whatever the ratios. Raises :class:`InvalidInput` for a ratio outside of ``(0, 1]``.
    """
    if isinstance(group, BlockGroup):
        return (1, 0)
    if any(not 0 < ratio <= 1 for ratio in ratios):
        raise InvalidInput("keep-ratios lie above 0 and are 1 at most", "0.5 keeps half of the channels")
    unit = math.lcm(group.block, step)
    if unit >= group.channels:
        unit = group.block
    # Subtracted so that 0.7 of 10 channels is 7 of them and not 8.
    widths = (math.ceil(group.channels * ratio / unit - 1e-9) * unit for ratio in ratios)
    return tuple(sorted({group.channels, *(min(max(unit, width), group.channels) for width in widths)}, reverse=True))


def best_channels(group: ChannelGroup, scores: NDArray[np.float64], width: int) -> tuple[int, ...]:
    """The ``width`` channels to keep, in order: the blocks with the highest mean score, the first of equal ones.

    ``scores`` is ``(channels,)``. Raises :class:`InvalidInput` for another shape, scores that are not finite, and a
    width that is not one of whole blocks from one block on.
    """
    if scores.shape != (group.channels,) or not np.isfinite(scores).all():
        raise InvalidInput(f"{group.name}: no finite score for each channel", f"give {group.channels} finite scores")
    if width % group.block or not group.block <= width <= group.channels:
        raise InvalidInput(
            f"{group.name}: {width} channels are no whole blocks of {group.block}",
            f"choose a multiple of {group.block} up to {group.channels}",
        )
    means = np.array([scores[list(members)].mean() for members in group.blocks])
    chosen = np.argsort(-means, kind="stable")[: width // group.block]
    return tuple(sorted(channel for number in chosen for channel in group.blocks[number]))
