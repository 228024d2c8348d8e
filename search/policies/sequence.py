"""A policy over a sequence of decisions that learns by REINFORCE, for decisions with encodings."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.policies.networks import RemovalNetwork, ShrinkageNetwork
from search.policies.reinforce import Baseline

_NEVER = -1e9


class SequencePolicy:
    """Values for a sequence of decisions, each with an encoding, sampled from a recurrent network; optimised by Adam.

    A sample has a condition: a number that the network reads beside each encoding, such as the weight of the reward
    that the sample is for. Advantages are those of :class:`search.policies.reinforce.Baseline`, for each condition
    apart. All networks of a kind and of as many ``choices`` have the same weights, whatever the decisions: what was
    learnt on one model can begin a search on another.

    >>> policy = SequencePolicy(RemovalNetwork, [[0.5], [0.25]], [2, 2], seed=0)
    >>> [len(sample) for sample in policy.sample([1.0, 1.0])]
    [2, 2]
    """

    def __init__(
        self, network: type[RemovalNetwork | ShrinkageNetwork], encodings: Sequence[Sequence[float]],
        choices: Sequence[int], *, seed: int, first: float = 0.5, learning_rate: float = 3e-3, entropy: float = 0.01,
        momentum: float = 0.95,
    ) -> None:  # fmt: skip
        """``choices`` is the number of values of each decision, ``first`` the initial probability of the first one,
        ``entropy`` the weight of the entropy in the reward."""
        self.choices = widest = max(choices)
        """Most values of a decision; policies with as many fit each other."""
        self._possible = torch.arange(widest) < torch.tensor(choices)[:, None]
        self._encodings = torch.tensor(encodings, dtype=torch.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = network(self._encodings.shape[1] + 1, widest)
        with torch.no_grad():
            self._network.head.bias.zero_()
            self._network.head.bias[0] = float(np.log(first * (widest - 1) / (1 - first)))
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=learning_rate)
        self._rng = np.random.default_rng(seed)
        self._entropy, self._momentum = entropy, momentum
        self._baselines: dict[float, Baseline] = {}

    def sample(self, conditions: Sequence[float]) -> list[tuple[int, ...]]:
        """Draws the place of a value for each decision, a sample for each condition."""
        values = torch.zeros(len(self._encodings), len(conditions), dtype=torch.long)
        with torch.no_grad():
            for position in range(len(values)):
                if self._network.reads_values or position == 0:
                    logs = self._logs(conditions, values[: position + 1])
                for number, row in enumerate(logs[position].double().exp().numpy()):
                    values[position, number] = int(self._rng.choice(len(row), p=row / row.sum()))
        return [tuple(column) for column in values.T.tolist()]

    def advantages(self, rewards: Sequence[float], conditions: Sequence[float]) -> list[float]:
        """Subtracts from each reward the baseline of its condition, then updates the baselines."""
        advantages = [0.0] * len(rewards)
        for condition in dict.fromkeys(conditions):
            numbers = [number for number, other in enumerate(conditions) if other == condition]
            baseline = self._baselines.setdefault(condition, Baseline(self._momentum))
            for number, advantage in zip(numbers, baseline.advantages([rewards[n] for n in numbers]), strict=True):
                advantages[number] = advantage
        return advantages

    def update(
        self, samples: Sequence[Sequence[int]], advantages: Sequence[float], conditions: Sequence[float]
    ) -> None:
        """Makes one step toward ``samples`` of positive advantage and away from those of negative advantage."""
        values = torch.tensor(samples).T
        logs = self._logs(conditions, values)
        picked = logs.gather(2, values[..., None])[..., 0].sum(0)
        entropy = -(logs.exp() * logs).masked_fill(~self._possible[:, None], 0.0).sum(2).mean()
        self._optimizer.zero_grad()
        loss = -(torch.tensor(advantages) * picked).mean() - self._entropy * entropy
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()

    def weights(self) -> dict[str, Any]:
        """Returns the network's weights as JSON-able data, for :meth:`begin_with` of a policy on any model."""
        return {name: _to_text(weight) for name, weight in self._network.state_dict().items()}

    def begin_with(self, weights: Mapping[str, Any]) -> bool:
        """Takes the weights of another policy; returns whether they fit, else changes nothing."""
        own = self._network.state_dict()
        if {name: list(weight.shape) for name, weight in own.items()} != {n: w["shape"] for n, w in weights.items()}:
            return False
        self._network.load_state_dict({name: _to_tensor(weight) for name, weight in weights.items()})
        return True

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as JSON-able data."""
        moments = self._optimizer.state_dict()["state"]
        return {
            "weights": self.weights(),
            "moments": [
                {name: _to_text(torch.as_tensor(value)) for name, value in m.items()} for m in moments.values()
            ],
            "baselines": [[condition, baseline.average] for condition, baseline in self._baselines.items()],
            "rng": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the result of :meth:`state_dict`."""
        self.begin_with(state["weights"])
        moments = [{name: _to_tensor(value) for name, value in moment.items()} for moment in state["moments"]]
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": dict(enumerate(moments))})
        self._baselines = {condition: Baseline(self._momentum, average) for condition, average in state["baselines"]}
        self._rng.bit_generator.state = state["rng"]

    def _logs(self, conditions: Sequence[float], values: Tensor) -> Tensor:
        """Computes the log probabilities (decisions, conditions, choices) of the first decisions, as many as there are
        ``values``; a very low value beyond a decision's own choices."""
        encodings = self._encodings[:, None].expand(-1, len(conditions), -1)
        given = torch.tensor(conditions, dtype=torch.float32)[None, :, None].expand(len(encodings), -1, -1)
        inputs = torch.cat([encodings, given], dim=-1)
        scores = self._network(inputs[: len(values)] if self._network.reads_values else inputs, values)
        return scores.masked_fill(~self._possible[: len(scores), None], _NEVER).log_softmax(-1)  # type: ignore[no-any-return]


def _to_text(tensor: Tensor) -> dict[str, Any]:
    data = np.ascontiguousarray(tensor.detach().float().numpy(), "<f4").tobytes()
    return {"shape": list(tensor.shape), "float32": base64.b64encode(data).decode()}


def _to_tensor(data: Mapping[str, Any]) -> Tensor:
    values = np.frombuffer(base64.b64decode(data["float32"]), "<f4").astype(np.float32)
    return torch.from_numpy(values.reshape(data["shape"]))
