"""Magnitude of a group's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from search.pruning.criteria.base import Batch, Criterion, Needs, Sees, by_block
from search.pruning.groups import ChannelGroup
from search.pruning.tensors import Tensors


class Magnitude(Criterion):
    """A block's magnitude relative to the average block, as the mean over all weight tensors of the group.

    Covers all coupled layers, as in DepGraph (Fang et al., CVPR 2023); relative, so that layers with many weights do
    not dominate. Ignores biases and normalisations. Scores of different groups are comparable. Detects dead channels
    whose own weights are small, not duplicates.
    """

    needs: ClassVar[Needs] = Needs.NOTHING
    sees: ClassVar[frozenset[Sees]] = frozenset({Sees.DEAD})
    power: ClassVar[int]
    """Exponent of the absolute weights."""

    def block_scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch]
    ) -> Mapping[str, Tensor]:
        """See :meth:`Criterion.block_scores`."""
        tensors = Tensors(model)
        return {group.name: self._shares(group, tensors) for group in groups}

    def _shares(self, group: ChannelGroup, tensors: Tensors) -> Tensor:
        shares = [torch.zeros(len(group.blocks), dtype=torch.float64)]
        for part in group.slices:
            weights = tensors.by_name[part.tensor].detach()
            if weights.ndim < 2:
                continue
            rows = weights.movedim(part.axis, 0).flatten(1).double().abs().pow(self.power).sum(1)
            sums = by_block(rows, part.indices).cpu()
            if float(sums.sum()) > 0:
                shares.append(sums / sums.mean())
        return torch.stack(shares).sum(0) / max(1, len(shares) - 1)
