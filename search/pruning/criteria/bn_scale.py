"""Scales of batch normalisation, and the term that makes them sparse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput
from search.pruning.criteria.base import Batch, Criterion, Needs, Sees, by_block
from search.pruning.groups import ChannelGroup
from search.pruning.tensors import BATCH_NORMS, Tensors


class BatchNormScale(Criterion):
    """The mean absolute scale that batch normalisation gives a channel: network slimming (Liu et al., ICCV 2017).

    Means most after training with :func:`sparsity_term`. Judges only groups with a batch normalisation that has scales.
    Scores of different groups are comparable. Sees dead channels whose scale is small, not duplicates; needs nothing.
    """

    needs: ClassVar[Needs] = Needs.NOTHING
    sees: ClassVar[frozenset[Sees]] = frozenset({Sees.DEAD})

    def block_scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch]
    ) -> Mapping[str, Tensor]:
        """See :meth:`Criterion.block_scores`."""
        tensors = Tensors(model)
        scales = {tensors.name_of(weight) for weight in _scales(model)}
        found = {}
        for group in groups:
            parts = [part for part in group.slices if part.tensor in scales]
            if not parts:
                raise InvalidInput(
                    f"{group.name}: no batch normalisation scales these channels", "choose another criterion for it"
                )
            sums = [by_block(tensors.by_name[one.tensor].detach().abs(), one.indices) for one in parts]
            counts = [sum(map(len, one.indices)) / len(one.indices) for one in parts]
            found[group.name] = torch.stack(sums).sum(0) / sum(counts)
        return found


def sparsity_term(model: nn.Module) -> Tensor:
    """The sum of absolute scales of all batch normalisations, a scalar with gradients, to be added to a training loss;
    Liu et al. weigh it by 1e-4 to 1e-5. Raises :class:`InvalidInput` for a model without any."""
    scales = _scales(model)
    if not scales:
        raise InvalidInput("the model has no batch normalisation with scales", "train it without the sparsity term")
    return torch.stack([scale.abs().sum() for scale in scales]).sum()


def _scales(model: nn.Module) -> list[Tensor]:
    return [one.weight for one in model.modules() if isinstance(one, BATCH_NORMS) and one.weight is not None]
