"""Expressiveness: how well a channel distinguishes inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput
from search.pruning.criteria.base import Batch, Criterion, Needs, Sees, by_block
from search.pruning.criteria.folding import channel_axis, fold_batch_norms, producers_of
from search.pruning.groups import ChannelGroup
from search.pruning.tracing import forward_hooks


class Expressiveness(Criterion):
    """How little the activation patterns of different inputs overlap in a channel (the idea of Maroudis and Xydis,
    *Neural Expressiveness for Beyond Importance Model Compression*, arXiv:2512.06440, 2025).

    The formula is ours: a pattern is the set of positions at which a producing layer's output (batch normalisation
    included) is above zero. The score is the mean share of positions in which the patterns of two inputs differ, over
    all pairs of inputs, averaged over a group's layers. Between 0 and 1; hardly comparable between groups. Random
    inputs suffice. Detects dead channels, since all inputs have the same pattern; not duplicates, which are as
    expressive as the original, nor channels that no layer reads. Needs inputs, at least two.
    """

    needs: ClassVar[Needs] = Needs.INPUTS
    sees: ClassVar[frozenset[Sees]] = frozenset({Sees.DEAD})

    def block_scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch]
    ) -> Mapping[str, Tensor]:
        """See :meth:`Criterion.block_scores`."""
        fold_batch_norms(model, batches[0].inputs)
        wanted = producers_of(groups)
        active: dict[str, Tensor] = {}
        samples: dict[str, int] = {}

        def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if name not in wanted:
                return
            rows = output.movedim(channel_axis(module), 1)
            positive = (rows.flatten(2) if rows.ndim > 2 else rows[..., None]) > 0
            counts = positive.sum(0, dtype=torch.float64)
            active[name] = active[name] + counts if name in active else counts
            samples[name] = samples.get(name, 0) + len(output)

        with forward_hooks(model, note), torch.no_grad():
            for batch in batches:
                model(*batch.inputs)
        scores = {group.name: torch.zeros(len(group.blocks), dtype=torch.float64) for group in groups}
        layers = {group.name: len(group.producers) for group in groups}
        for name, users in wanted.items():
            number = samples.get(name, 0)
            if number < 2:
                raise InvalidInput("expressiveness compares inputs and got fewer than two", "give more samples")
            # Of n inputs, k active at a position: k (n - k) of the n (n - 1) / 2 pairs differ there.
            differ = (active[name] * (number - active[name])).mean(1) / (number * (number - 1) / 2)
            for group, indices in users:
                wide = sum(map(len, indices)) / len(indices)
                scores[group] += by_block(differ, indices).cpu() / wide / layers[group]
        return scores
