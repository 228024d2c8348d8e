"""A free table of logits that learns by REINFORCE which choices are worth their cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Policy:
    """Independent decisions, each a softmax over its own choices (Bender et al., *TuNAS*, CVPR 2020; Dotzel et al.,
    *FLIQS*, AutoML 2024).

    A reward counts against the mean of the others that were drawn with it (leave one out: Kool et al., *Buy 4 REINFORCE
    Samples, Get a Baseline for Free!*, 2019), a single one against the moving average of those before. Entropy is
    penalised with a weight that grows from 0 to ``entropy`` along half a cosine, so that the policy first explores and
    then settles. Adam.

    >>> policy = Policy([2, 3], seed=0)
    >>> len(policy.sample())
    2
    """

    def __init__(
        self, choices: Sequence[int], *, seed: int, learning_rate: float = 5e-3, momentum: float = 0.95,
        entropy: float = 0.5, logits: Sequence[Sequence[float]] | None = None,
    ) -> None:  # fmt: skip
        """``choices`` is the number of values of each decision; ``logits``, one a value, are where it begins: without
        them all are equally likely."""
        widest = max(choices, default=1)
        self._possible = torch.arange(widest) < torch.tensor(choices, dtype=torch.long)[:, None]
        self._logits = torch.zeros(len(choices), widest)
        for row, known in zip(self._logits, logits or [], strict=logits is not None):
            row[: len(known)] = torch.tensor(known)
        self._logits.requires_grad_()
        self._optimizer = torch.optim.Adam([self._logits], lr=learning_rate)
        self._rng = np.random.default_rng(seed)
        self._momentum, self._entropy = momentum, entropy
        self._choices = tuple(choices)
        self.baseline: float | None = None

    def sample(self) -> tuple[int, ...]:
        """A value for each decision, drawn from the policy."""
        shares = self.probabilities()
        return tuple(
            int(self._rng.choice(count, p=row[:count] / row[:count].sum()))
            for row, count in zip(shares, self._choices, strict=True)
        )

    def best(self) -> tuple[int, ...]:
        """The most likely value of each decision."""
        return tuple(int(row[:count].argmax()) for row, count in zip(self.probabilities(), self._choices, strict=True))

    def logs(self) -> list[list[float]]:
        """Of each decision the logarithms of its values' probabilities."""
        return [row[:count] for row, count in zip(self._shares().tolist(), self._choices, strict=True)]

    def probabilities(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """``(decisions, most choices)``, 0 where a decision has fewer."""
        return np.asarray(self._shares().exp().detach().double().numpy() * self._possible.numpy())

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        """How much better each reward is than what it counts against; then all are part of the moving average."""
        mean = sum(rewards) / len(rewards)
        before = mean if self.baseline is None else self.baseline
        self.baseline = self._momentum * before + (1 - self._momentum) * mean
        if len(rewards) == 1:
            return [rewards[0] - before]
        share = len(rewards) / (len(rewards) - 1)
        return [(reward - mean) * share for reward in rewards]

    def update(self, chosen: Sequence[Sequence[int]], advantages: Sequence[float], way: float) -> None:
        """One step toward what was ``chosen`` where its advantage is positive, away from it else; ``way`` is how much
        of the learning is over, from 0 to 1."""
        if not self._choices:
            return
        logs = self._shares()
        picked = logs.expand(len(chosen), *logs.shape).gather(2, torch.tensor(chosen)[..., None]).mean((1, 2))
        entropy = -(logs.exp() * logs).masked_fill(~self._possible, 0.0).sum(1).mean()
        weight = 0.5 * self._entropy * (1 - math.cos(math.pi * min(max(way, 0.0), 1.0)))
        self._optimizer.zero_grad()
        (weight * entropy - (torch.tensor(advantages) * picked).mean()).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """As tensors and plain data."""
        return {
            "logits": self._logits.detach().clone(),
            "optimizer": self._optimizer.state_dict(),
            "rng": self._rng.bit_generator.state,
            "baseline": self.baseline,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        with torch.no_grad():
            self._logits.copy_(state["logits"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._rng.bit_generator.state = state["rng"]
        self.baseline = state["baseline"]

    def _shares(self) -> Tensor:
        """Logarithms of probabilities; very small where a decision has no such choice."""
        return self._logits.masked_fill(~self._possible, -1e9).log_softmax(1)
