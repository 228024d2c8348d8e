"""Base class of criteria: an importance score for each channel, higher means more worth keeping."""

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
LossFunction = Callable[[Tensor, Tensor], Tensor]
"""Maps the model's output and the labels to a scalar."""


class Needs(Enum):
    """Data that a criterion needs besides the model."""

    NOTHING = "nothing"
    INPUTS = "inputs"
    LABELS = "labelled batches"


class Sees(Enum):
    """Useless channels that a criterion can detect."""

    DEAD = "dead"
    """A channel that is always zero, or that no layer reads."""
    DUPLICATE = "duplicate"
    """A channel that equals another channel of its group."""


@dataclass(frozen=True)
class Batch:
    """A batch of a model's arguments."""

    inputs: Inputs
    labels: Tensor | None = None
    """Class labels ``(batch,)`` of a classifier."""


class Criterion(ABC):
    """Scores the importance of channels. Implementations override ``block_scores``.

    Stateless between calls and used from one thread. ``scores`` works on a copy in evaluation mode, which leaves the
    model, its mode and its gradients unchanged, and draws random numbers only from ``seed``: equal arguments give equal
    scores, whatever other groups are scored. ``loss`` compares a model's output with labels; by default cross-entropy.
    """

    needs: ClassVar[Needs]
    """Data that the criterion needs."""
    sees: ClassVar[frozenset[Sees]]
    """Useless channels that the criterion detects."""

    def __init__(self, *, seed: int = 0, loss: LossFunction = nn.functional.cross_entropy) -> None:
        self.seed = seed
        self.loss = loss

    def scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch] = ()
    ) -> dict[str, Scores]:
        """Computes scores by group: float64 ``(channels,)``, finite, higher is more important; equal within a block.

        Scores of different groups are comparable only if the criterion's docstring says so. Raises
        :class:`InvalidInput` if batches or labels are missing, or if the criterion does not support a group or the
        model; :class:`BuildFailed` if a score is not finite.
        """
        if self.needs is not Needs.NOTHING and not batches:
            raise InvalidInput("this criterion needs data and got none", f"give batches: it needs {self.needs.value}")
        if self.needs is Needs.LABELS and any(batch.labels is None for batch in batches):
            raise InvalidInput("this criterion needs labels, and a batch has none", "choose a criterion without labels")
        copy = with_plain_attention(model).eval().requires_grad_(True)
        copy.zero_grad(set_to_none=True)
        for module in copy.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
        with torch.enable_grad():
            scores = self.block_scores(copy, groups, batches)
        return {group.name: _by_channel(group, scores[group.name]) for group in groups}

    @abstractmethod
    def block_scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch]
    ) -> Mapping[str, Tensor | Scores]:
        """Computes by group a score for each block. The model is a copy that may be changed, in evaluation mode and
        with gradients enabled."""


def _by_channel(group: ChannelGroup, values: Tensor | Scores) -> Scores:
    rows = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
    if rows.shape != (len(group.blocks),) or not np.isfinite(rows).all():
        raise BuildFailed(
            f"{group.name}: scores of its channels are missing or not finite",
            "check that the model's outputs are finite for these batches, or choose another criterion",
        )
    scores = np.zeros(group.channels)
    for members, value in zip(group.blocks, rows, strict=True):
        scores[list(members)] = value
    return scores


def by_block(values: Tensor, indices: Sequence[Sequence[int]]) -> Tensor:
    """Sums ``values`` ``(n,)`` over each block's ``indices``; float64 ``(blocks,)``."""
    return torch.stack([values.double()[list(members)].sum() for members in indices])
