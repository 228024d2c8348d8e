"""The networks of N2N's policies: decisions along the layers of a teacher (Ashok et al., ICLR 2018)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

HIDDEN, LAYERS = 30, 2


class RemovalNetwork(nn.Module):
    """Scores the values of each decision by a bidirectional LSTM over all layers."""

    reads_values: ClassVar[bool] = False
    """Whether the scores of a decision depend on the values before it."""

    def __init__(self, features: int, choices: int) -> None:
        super().__init__()
        self._lstm = nn.LSTM(features, HIDDEN, LAYERS, bidirectional=True)
        self.head = nn.Linear(2 * HIDDEN, choices)

    def forward(self, inputs: Tensor, values: Tensor) -> Tensor:
        """Computes the scores (decisions, samples, choices) of ``inputs`` (decisions, samples, features)."""
        scores: Tensor = self.head(self._lstm(inputs)[0])
        return scores


class ShrinkageNetwork(nn.Module):
    """Scores the values of each decision by a stacked LSTM along the layers, which reads the value before."""

    reads_values: ClassVar[bool] = True

    def __init__(self, features: int, choices: int) -> None:
        super().__init__()
        self._choices = choices
        self._lstm = nn.LSTM(features + choices, HIDDEN, LAYERS)
        self.head = nn.Linear(HIDDEN, choices)

    def forward(self, inputs: Tensor, values: Tensor) -> Tensor:
        """Computes the scores (decisions, samples, choices) of ``inputs`` (decisions, samples, features), given the
        places of the ``values`` (decisions, samples), of which the last is not read."""
        before = nn.functional.one_hot(values, self._choices).to(inputs.dtype)
        before = torch.cat([torch.zeros_like(before[:1]), before[:-1]])
        scores: Tensor = self.head(self._lstm(torch.cat([inputs, before], dim=-1))[0])
        return scores
