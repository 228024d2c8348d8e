"""A table of logits that learns by REINFORCE which choices are worth their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search.policies.reinforce import Baseline, entropy_weight


class TablePolicy:
    """Independent decisions, each a softmax over its own choices (Bender et al., *TuNAS*, CVPR 2020; Dotzel et al.,
    *FLIQS*, AutoML 2024), optimised by Adam.

    Advantages are those of :class:`search.policies.reinforce.Baseline`. Entropy is penalised with a growing weight
    (:func:`search.policies.reinforce.entropy_weight`), so that the policy first explores and then converges.

    >>> policy = TablePolicy([2, 3], seed=0)
    >>> len(policy.sample())
    2
    """

    def __init__(
        self, choices: Sequence[int], *, seed: int, learning_rate: float = 5e-3, momentum: float = 0.95,
        entropy: float = 0.5, logits: Sequence[Sequence[float]] | None = None,
    ) -> None:  # fmt: skip
        """``choices`` is the number of values of each decision; ``logits`` are the initial ones, by default all
        equal."""
        widest = max(choices, default=1)
        self._possible = torch.arange(widest) < torch.tensor(choices, dtype=torch.long)[:, None]
        self._logits = torch.zeros(len(choices), widest)
        for row, initial in zip(self._logits, logits or [], strict=logits is not None):
            row[: len(initial)] = torch.tensor(initial)
        self._logits.requires_grad_()
        self._optimizer = torch.optim.Adam([self._logits], lr=learning_rate)
        self._rng = np.random.default_rng(seed)
        self._baseline, self._entropy = Baseline(momentum), entropy
        self._choices = tuple(choices)

    def sample(self) -> tuple[int, ...]:
        """Draws the place of a value for each decision."""
        shares = self.probabilities()
        return tuple(
            int(self._rng.choice(count, p=row[:count] / row[:count].sum()))
            for row, count in zip(shares, self._choices, strict=True)
        )

    def best(self) -> tuple[int, ...]:
        """Returns the place of the most likely value of each decision."""
        return tuple(int(row[:count].argmax()) for row, count in zip(self.probabilities(), self._choices, strict=True))

    def logs(self) -> list[list[float]]:
        """Computes the log probabilities of each decision's values."""
        return [row[:count] for row, count in zip(self._shares().tolist(), self._choices, strict=True)]

    def probabilities(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Computes the probabilities ``(decisions, most choices)``, 0 beyond a decision's own choices."""
        return np.asarray(self._shares().exp().detach().double().numpy() * self._possible.numpy())

    def advantages(self, rewards: Sequence[float]) -> list[float]:
        """Subtracts the baseline from each reward, then updates its moving average."""
        return self._baseline.advantages(rewards)

    def update(self, chosen: Sequence[Sequence[int]], advantages: Sequence[float], progress: float) -> None:
        """Makes one step toward ``chosen`` values of positive advantage and away from those of negative advantage;
        ``progress`` is the elapsed share of the learning."""
        if not self._choices:
            return
        logs = self._shares()
        picked = logs.expand(len(chosen), *logs.shape).gather(2, torch.tensor(chosen)[..., None]).mean((1, 2))
        entropy = -(logs.exp() * logs).masked_fill(~self._possible, 0.0).sum(1).mean()
        weight = entropy_weight(self._entropy, progress)
        self._optimizer.zero_grad()
        (weight * entropy - (torch.tensor(advantages) * picked).mean()).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as tensors and plain data."""
        return {
            "logits": self._logits.detach().clone(),
            "optimizer": self._optimizer.state_dict(),
            "rng": self._rng.bit_generator.state,
            "baseline": self._baseline.average,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the result of :meth:`state_dict`."""
        with torch.no_grad():
            self._logits.copy_(state["logits"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._rng.bit_generator.state = state["rng"]
        self._baseline.average = state["baseline"]

    def _shares(self) -> Tensor:
        """Computes log probabilities; a very low value beyond a decision's own choices."""
        return self._logits.masked_fill(~self._possible, -1e9).log_softmax(1)
