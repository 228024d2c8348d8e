"""What a criterion promises: a score for each channel, the higher the more it is worth keeping."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwprofiles.errors import BuildFailed, InvalidInput
from search.pruning.attention import with_plain_attention
from search.pruning.groups import ChannelGroup
from search.pruning.tracing import Inputs

Scores = NDArray[np.float64]
Loss = Callable[[Tensor, Tensor], Tensor]
"""The model's output and the labels to one number."""


class Needs(Enum):
    """What a criterion must be given beside the model."""

    NOTHING = "nothing"
    INPUTS = "inputs"
    LABELS = "labelled batches"


class Sees(Enum):
    """What a criterion can tell from a useful channel."""

    DEAD = "dead"
    """A channel that is always zero, or that nothing reads."""
    DUPLICATE = "duplicate"
    """A channel that equals another of its group."""


@dataclass(frozen=True)
class Batch:
    """A model's arguments and, where they are known, the labels ``(batch,)`` of a classifier."""

    inputs: Inputs
    labels: Tensor | None = None


class Criterion(ABC):
    """One way to tell how much a channel is worth.

    Stateless between calls and used from one thread. ``scores`` works on a copy in evaluation mode, so that the model,
    its mode and its gradients are left as they are, and draws no random numbers but from the seed: equal arguments give
    equal scores, whatever other groups are asked about. Implementations give ``block_scores``.

    ``loss`` compares a model's output with labels, by default as cross-entropy.
    """

    needs: ClassVar[Needs]
    sees: ClassVar[frozenset[Sees]]

    def __init__(self, *, seed: int = 0, loss: Loss = nn.functional.cross_entropy) -> None:
        self.seed = seed
        self.loss = loss

    def scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch] = ()
    ) -> dict[str, Scores]:
        """By group, float64 ``(channels,)``: finite, the higher the more important; channels of one block share theirs.

        Scores of different groups are comparable only where the criterion's docstring says so. Raises
        :class:`InvalidInput` where batches or labels are missing, or where the criterion cannot judge a group or the
        model; :class:`BuildFailed` where a score is not finite.
        """
        if self.needs is not Needs.NOTHING and not batches:
            raise InvalidInput("this criterion needs data and got none", f"give batches: it needs {self.needs.value}")
        if self.needs is Needs.LABELS and any(batch.labels is None for batch in batches):
            raise InvalidInput("this criterion needs labels, and a batch has none", "choose one that needs none")
        copy = with_plain_attention(model).eval().requires_grad_(True)
        copy.zero_grad(set_to_none=True)
        for module in copy.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
        with torch.enable_grad():
            found = self.block_scores(copy, groups, batches)
        return {group.name: _by_channel(group, found[group.name]) for group in groups}

    @abstractmethod
    def block_scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch]
    ) -> Mapping[str, Tensor | Scores]:
        """By group, a score for each block. The model is a copy to be used up, in evaluation mode, gradients on."""


def _by_channel(group: ChannelGroup, values: Tensor | Scores) -> Scores:
    rows = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
    if rows.shape != (len(group.blocks),) or not np.isfinite(rows).all():
        raise BuildFailed(
            f"{group.name}: scores of its channels are missing or not finite",
            "check that the model gives finite outputs for these batches, or choose another criterion",
        )
    scores = np.zeros(group.channels)
    for members, value in zip(group.blocks, rows, strict=True):
        scores[list(members)] = value
    return scores


def by_block(values: Tensor, indices: Sequence[Sequence[int]]) -> Tensor:
    """Sums of ``values`` ``(n,)`` over each block's ``indices``: ``(blocks,)``, float64."""
    return torch.stack([values.double()[list(members)].sum() for members in indices])
