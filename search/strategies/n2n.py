"""N2N: students found by policies that learn which units of a teacher to leave out and to narrow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from search.bounds import LARGEST, MOST, MOST_AT_ONCE, MOST_ITEMS, Name
from search.options import StrategyOptions
from search.space.candidate import Candidate, Decision
from search.space.encoding import ENCODING_SIZE, family_of
from search.space.layer_changes import KEPT, LEFT_OUT
from search.strategies.base import Result, Reward, Strategy, StrategyContext
from search.strategies.observations import Axes, share_of_baseline

if TYPE_CHECKING:
    from search.policies.sequence import SequencePolicy

REMOVAL = (KEPT, LEFT_OUT)
"""The values of a decision about whether a unit stays."""

_ANNEALING = 15
"""Updates until a violated constraint costs as much as a failure."""


Weight = Annotated[float, Field(gt=0, le=100)]


class N2nOptions(StrategyOptions):
    """Options of the strategy ``n2n``."""

    rollouts: int = Field(8, ge=2, le=MOST_AT_ONCE)
    """Students of each update of a policy."""
    removal: int = Field(100, ge=0, le=MOST)
    """Students of the first stage, which leaves units out; the second stage narrows those that stay."""
    weights: tuple[Weight, ...] = Field((1.0,), min_length=1, max_length=MOST_ITEMS)
    """Exponents of the reward's compression: several give students for several trade-offs."""
    keep: float = Field(0.8, gt=0, lt=1)
    """Initial probability that a unit stays."""
    learning_rate: float = Field(3e-3, gt=0, le=LARGEST)
    """Of the policies, by Adam."""
    entropy: float = Field(0.01, ge=0, le=LARGEST)
    """Weight of the policies' entropy in the reward."""
    start: Name | None = None
    """Name of policies to begin with."""
    save: Name | None = None
    """Name under which the policies are stored after each update; another than ``start``."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if self.start is not None and self.start == self.save:
            raise ValueError("start and save are different names: a job that is resumed begins with the same policies")
        return self


@dataclass(frozen=True)
class _Rollout:
    """A candidate of a policy: its values by place, and the weight that its reward is for."""

    places: tuple[int, ...]
    weight: float


class N2n(Strategy):
    """Proposes the uniform assignments, then students in two stages (Ashok et al., ICLR 2018).

    A removal policy decides for each unit whether it stays; then a shrinkage policy decides the other values of the
    best student so far. Both learn by REINFORCE from a reward at the end, ``C (2 - C) A``: ``A`` is the share of the
    teacher's first quality that the student keeps, ``C`` the share of the first cost, such as parameters or latency,
    that it saves. Failures and students that save nothing have the reward -1; students that violate a constraint have
    less from update to update. Both ``A`` and ``C`` refer to the teacher in both stages.
    """

    Options = N2nOptions
    options: N2nOptions
    needs = ("student",)

    def __init__(self, context: StrategyContext, options: StrategyOptions) -> None:
        super().__init__(context, options)
        self._seeds = self.space.uniform()
        free = [decision for decision in self.space.decisions if len(decision.choices) > 1]
        self._removable = [decision for decision in free if decision.choices == REMOVAL]
        self._others = [decision for decision in free if decision.choices != REMOVAL]
        self._axes = Axes.of(context.objectives)
        self._teacher: Result | None = None
        self._asked: list[_Rollout | None] = []
        self._drawn: list[_Rollout] = []
        self._updates = 0
        self._rewards: list[Reward] = []
        self._best: dict[float, tuple[float, dict[str, str]]] = {}
        self._policies = self._make_policies()

    def _make_policies(self) -> dict[str, SequencePolicy]:
        from search.policies.networks import RemovalNetwork, ShrinkageNetwork  # PyTorch
        from search.policies.sequence import SequencePolicy

        options, policies = self.options, {}
        stored = self._read_policies(options.start) if options.start else {}
        for name, network, decisions, first in (
            ("removal", RemovalNetwork, self._removable, options.keep),
            ("shrinkage", ShrinkageNetwork, self._others, 0.5),
        ):
            if decisions:
                policies[name] = SequencePolicy(
                    network, [self._encode(decision) for decision in decisions],
                    [len(decision.choices) for decision in decisions], seed=self.context.seed, first=first,
                    learning_rate=options.learning_rate, entropy=options.entropy,
                )  # fmt: skip
                if not policies[name].begin_with(stored.get(name, {})) and stored:
                    self.context.note(
                        f"the {name} policy of {options.start!r} does not fit this space's choices: it begins untrained"
                    )
        return policies

    def _read_policies(self, name: str) -> Mapping[str, Any]:
        """Returns the stored weights of each policy; none, and says so, if there are none of the name."""
        networks: Mapping[str, Any] = self.context.policies.get(name, {}).get("networks", {})
        if not networks:
            self.context.note(f"no policies {name!r} are stored on this machine: those of this job begin untrained")
        return networks

    def _encode(self, decision: Decision) -> Sequence[float]:
        encoding = self.context.encodings.get(decision.target or "")
        return encoding.numbers if encoding else [0.0] * ENCODING_SIZE

    @property
    def batch(self) -> int:
        """See :attr:`Strategy.batch`."""
        return self.options.rollouts

    @property
    def _stage(self) -> str:
        """The policy that proposes."""
        is_over = len(self._rewards) >= self.options.removal and "shrinkage" in self._policies
        return "removal" if "removal" in self._policies and not is_over else "shrinkage"

    def ask(self) -> Candidate:
        """See :meth:`Strategy.ask`."""
        if self._seeds or not self._policies:
            self._asked.append(None)
            return self._seeds.pop(0) if self._seeds else self.space.baseline()
        if not self._drawn:
            weights = [self.options.weights[n % len(self.options.weights)] for n in range(self.batch)]
            samples = self._policies[self._stage].sample(weights)
            self._drawn = [_Rollout(places, weight) for places, weight in zip(samples, weights, strict=True)]
        rollout = self._drawn.pop(0)
        self._asked.append(rollout)
        return self._candidate(rollout)

    def _candidate(self, rollout: _Rollout) -> Candidate:
        values = self.space.baseline().decisions
        decisions = self._removable
        if self._stage == "shrinkage":
            decisions = self._others
            values |= self._best.get(rollout.weight, (0.0, {}))[1]
        values |= {d.name: d.choices[place] for d, place in zip(decisions, rollout.places, strict=True)}
        return self.space.candidate(values)

    def tell(self, results: Sequence[Result]) -> None:
        """See :meth:`Strategy.tell`."""
        asked, self._asked, self._drawn = self._asked, [], []
        unchanged = self.space.baseline().digest
        self._teacher = self._teacher or next(
            (r for r in results if r.candidate.digest == unchanged and r.gains is not None), None
        )
        pairs = zip(asked, results, strict=True)
        told = [(rollout, result) for rollout, result in pairs if rollout is not None and not result.missing]
        if not told:
            return
        rewards = [self._reward(result, rollout.weight) for rollout, result in told]
        stage = self._stage
        self._rewards += [
            Reward(result.candidate.digest, stage, self._updates + 1, reward, rollout.weight)
            for (rollout, result), reward in zip(told, rewards, strict=True)
        ]
        if stage == "removal":
            for (rollout, result), reward in zip(told, rewards, strict=True):
                if reward > self._best.get(rollout.weight, (0.0, {}))[0]:
                    values = {d.name: result.candidate.decisions[d.name] for d in self._removable}
                    self._best[rollout.weight] = reward, values
        policy, weights = self._policies[stage], [rollout.weight for rollout, _ in told]
        policy.update([rollout.places for rollout, _ in told], policy.advantages(rewards, weights), weights)
        self._updates += 1
        if self._stage != stage:
            self._updates = 0
        if self.options.save:
            self._save(self.options.save)

    def _save(self, name: str) -> None:
        places = (*self._axes.qualities[:1], *self._axes.costs[:1])
        targets = [decision.target for decision in (*self._removable, *self._others)]
        encodings = {target: part for target, part in self.context.encodings.items() if target in targets}
        self.context.policies[name] = {
            "strategy": "n2n",
            "family": family_of(encodings),
            "encodings": {target: encoding.numbers for target, encoding in encodings.items()},
            "choices": {name: policy.choices for name, policy in self._policies.items()},
            "reward": ", ".join(self.context.objectives[place].metric for place in places),
            "rollouts": len(self._rewards),
            "best_reward": max(reward.value for reward in self._rewards),
            "networks": {name: policy.weights() for name, policy in self._policies.items()},
        }

    def _reward(self, result: Result, weight: float) -> float:
        if result.gains is None:
            return -1.0
        teacher = self._teacher.gains if self._teacher and self._teacher.gains else result.gains
        kept, saved = 1.0, 1.0
        if self._axes.qualities:
            quality = self._axes.qualities[0]
            kept = _kept(result.gains[quality], teacher[quality])
        if self._axes.costs:
            cost = self._axes.costs[0]
            saved = 1 - share_of_baseline(result.gains[cost], teacher[cost])
        if not saved > 0 or not math.isfinite(kept):
            return -1.0
        reward = (saved * (2 - saved)) ** weight * kept
        if any(result.violations):
            patience = max(0.0, 1 - self._updates / _ANNEALING) ** 4
            reward = (patience - 1) + patience * reward
        return float(reward)

    @property
    def rewards(self) -> Sequence[Reward]:
        """See :attr:`Strategy.rewards`."""
        return self._rewards

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Strategy.state_dict`."""
        return {name: policy.state_dict() for name, policy in self._policies.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :meth:`Strategy.load_state_dict`."""
        for name, policy in self._policies.items():
            policy.load_state_dict(state[name])


def _kept(gain: float, teacher: float) -> float:
    """Returns the share of the teacher's quality that is left; of a loss, which is a negative gain, its inverse."""
    if teacher > 0:
        return max(0.0, gain / teacher)
    return teacher / gain if gain < 0 else 1.0
