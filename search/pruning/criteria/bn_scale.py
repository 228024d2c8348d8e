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
    """Mean absolute scale of a channel's batch normalisation: network slimming (Liu et al., ICCV 2017).

    Works best after training with :func:`sparsity_term`. Supports only groups with a batch normalisation that has
    scales. Scores of different groups are comparable. Detects dead channels whose scale is small, not duplicates; needs
    nothing.
    """

    needs: ClassVar[Needs] = Needs.NOTHING
    sees: ClassVar[frozenset[Sees]] = frozenset({Sees.DEAD})

    def block_scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch]
    ) -> Mapping[str, Tensor]:
        """See :meth:`Criterion.block_scores`."""
        tensors = Tensors(model)
        scales = {tensors.name_of(weight) for weight in _scales(model)}
        scores = {}
        for group in groups:
            parts = [part for part in group.slices if part.tensor in scales]
            if not parts:
                raise InvalidInput(
                    f"{group.name}: no batch normalisation scales these channels", "choose another criterion for it"
                )
            sums = [by_block(tensors.by_name[part.tensor].detach().abs(), part.indices) for part in parts]
            counts = [sum(map(len, part.indices)) / len(part.indices) for part in parts]
            scores[group.name] = torch.stack(sums).sum(0) / sum(counts)
        return scores


def sparsity_term(model: nn.Module) -> Tensor:
    """Sums the absolute scales of all batch normalisations: a scalar with gradients, for a training loss.

    Liu et al. weigh it by 1e-4 to 1e-5. Raises :class:`InvalidInput` for a model without scales.
    """
    scales = _scales(model)
    if not scales:
        raise InvalidInput("the model has no batch normalisation with scales", "train it without the sparsity term")
    return torch.stack([scale.abs().sum() for scale in scales]).sum()


def _scales(model: nn.Module) -> list[Tensor]:
    norms = (module for module in model.modules() if isinstance(module, BATCH_NORMS))
    return [norm.weight for norm in norms if norm.weight is not None]
