"""Random scores, as a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from torch import nn

from hwprofiles import digest_of
from search.pruning.criteria.base import Batch, Criterion, Needs, Scores, Sees
from search.pruning.groups import ChannelGroup


class Random(Criterion):
    """Uniform random scores from the seed and the group's name: the control that every other criterion must beat
    (random filters do surprisingly well after training: Mittal et al., WACV 2018).

    Detects nothing; needs nothing.
    """

    needs: ClassVar[Needs] = Needs.NOTHING
    sees: ClassVar[frozenset[Sees]] = frozenset()

    def block_scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch]
    ) -> Mapping[str, Scores]:
        """See :meth:`Criterion.block_scores`."""
        return {
            group.name: np.random.default_rng([self.seed, *bytes.fromhex(digest_of(group.name)[:16])]).random(
                len(group.blocks)
            )
            for group in groups
        }
