"""First-order Taylor expansion of the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from search.pruning.criteria.base import Batch, Criterion, Needs, Sees, by_block
from search.pruning.groups import ChannelGroup
from search.pruning.tensors import Tensors


class Taylor(Criterion):
    """Squared first-order change of the loss if a block's weights become zero: the square of the sum of weight times
    gradient for each tensor of the group, summed over tensors and averaged over batches (Molchanov et al., *Importance
    Estimation for Neural Network Pruning*, CVPR 2019).

    Scores of different groups are comparable. Detects dead channels, also those that no layer reads; not duplicates,
    which share the gradient. Needs labelled batches and a loss.
    """

    needs: ClassVar[Needs] = Needs.LABELS
    sees: ClassVar[frozenset[Sees]] = frozenset({Sees.DEAD})

    def block_scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch]
    ) -> Mapping[str, Tensor]:
        """See :meth:`Criterion.block_scores`."""
        tensors = Tensors(model)
        scores = {group.name: torch.zeros(len(group.blocks), dtype=torch.float64) for group in groups}
        for batch in batches:
            if batch.labels is None:
                continue
            model.zero_grad(set_to_none=True)
            self.loss(model(*batch.inputs), batch.labels).backward()  # type: ignore[no-untyped-call]
            for group in groups:
                for part in group.slices:
                    tensor = tensors.by_name[part.tensor]
                    if tensor.grad is None:
                        continue
                    products = (tensor.detach() * tensor.grad).movedim(part.axis, 0).double()
                    products = products.reshape(len(products), -1).sum(1)
                    scores[group.name] += by_block(products, part.indices).cpu() ** 2 / len(batches)
        return scores
