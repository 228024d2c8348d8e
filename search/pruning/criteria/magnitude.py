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
    """The mean over all weight tensors of a group of a block's share in each, 1 being the average block.

    Taken over all coupled layers, as in DepGraph (Fang et al., CVPR 2023), and by shares, so that a layer with many
    weights does not decide alone. Biases and normalisations do not count. Scores of different groups are comparable.
    Sees dead channels whose own weights are small; equal weights of two duplicates are both large.
    """

    needs: ClassVar[Needs] = Needs.NOTHING
    sees: ClassVar[frozenset[Sees]] = frozenset({Sees.DEAD})
    power: ClassVar[int]

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
