"""The strategy N2N: the conformance suite, its reward, and that its policies learn."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from search.fronts.objectives import Constraint, Objective
from search.policy_store import StoredPolicies
from search.space.candidate import Candidate, Decision, Space
from search.space.encoding import UnitEncoding
from search.strategies import N2n, Result, StrategyContext
from search.testing.strategies import ExploringConformance

LAYERS = 12
FACTORS = ("1", "0.75", "0.5", "0.25")
USEFUL = (0, 5)
"""Layers that the teacher needs; the others cost without a use."""

STUDENTS = Space(
    tuple(
        decision
        for layer in range(LAYERS)
        for decision in (
            Decision(f"student:{layer}#keep", ("1", "0"), "student", target=f"{layer}#keep", scope="module"),
            Decision(f"student:{layer}", FACTORS, "student", target=f"{layer}", scope="module"),
        )
    ),
    "teacher",
)
ENCODINGS = {
    f"{layer}{suffix}": UnitEncoding("conv", 3, 2 if layer in USEFUL else 1, 1, 16)
    for layer in range(LAYERS)
    for suffix in ("", "#keep")
}


def make(
    *, metrics: tuple[str, ...] = ("accuracy", "parameters"), seed: int = 0, constraints: tuple[str, ...] = (),
    policies: MutableMapping[str, Any] | None = None, encodings: dict[str, UnitEncoding] = ENCODINGS, **options: Any,
) -> N2n:  # fmt: skip
    context = StrategyContext(
        space=STUDENTS, objectives=tuple(Objective(m, "min" if m == "parameters" else "max") for m in metrics),
        constraints=tuple(map(Constraint.parse, constraints)), seed=seed, encodings=encodings,
        policies={} if policies is None else policies,
    )  # fmt: skip
    return N2n(context, N2n.Options(**options))


def measure(candidate: Candidate) -> Result:
    """Accuracy falls with the width of the useful layers; parameters with every width."""
    values = candidate.decisions
    widths = [float(values[f"student:{n}#keep"]) * float(values[f"student:{n}"]) for n in range(LAYERS)]
    accuracy = 90.0 - 40 * sum(1 - min(1.0, 2 * widths[layer]) for layer in USEFUL)
    return Result(candidate, (accuracy, -1000.0 * sum(widths) - 10))


def rewards_of(strategy: N2n, blocks: int) -> list[float]:
    """Mean rewards of the blocks, by the formula of the paper."""
    means = []
    teacher = measure(STUDENTS.baseline()).gains
    assert teacher is not None
    for _ in range(blocks):
        results = [measure(strategy.ask()) for _ in range(strategy.batch)]
        strategy.tell(results)
        rows = [result.gains for result in results if result.gains is not None]
        shares = [(gains[0] / teacher[0], 1 - gains[1] / teacher[1]) for gains in rows]
        means.append(float(np.mean([kept * saved * (2 - saved) for kept, saved in shares])))
    return means


class TestN2n(ExploringConformance):
    kind = N2n
    small: ClassVar[dict[str, Any]] = {"rollouts": 4}


def test_the_policies_learn_which_layers_are_useful() -> None:
    strategy = make(removal=400, rollouts=8)
    means = rewards_of(strategy, 100)
    assert np.mean(means[40:48]) > np.mean(means[2:10]) + 0.05
    late = [strategy.ask().decisions for _ in range(strategy.batch)]
    kept = [np.mean([values[f"student:{n}#keep"] == "1" for values in late]) for n in range(LAYERS)]
    assert np.mean([kept[n] for n in USEFUL]) == 1
    assert np.mean(kept) < 0.6


def test_the_second_stage_narrows_the_best_student_of_the_first() -> None:
    strategy = make(removal=16)
    for _ in range(5):  # the first block and a half holds the uniform assignments
        strategy.tell([measure(strategy.ask()) for _ in range(8)])
    students = [strategy.ask().decisions for _ in range(8)]
    assert len({tuple(values[f"student:{n}#keep"] for n in range(LAYERS)) for values in students}) == 1
    assert "0" in {students[0][f"student:{n}#keep"] for n in range(LAYERS)}
    assert {value for values in students for value in values.values()} > {"0.75", "0.5", "0.25"}


def test_the_learning_curve_has_every_rollout() -> None:
    strategy = make(removal=16, weights=(0.5, 2.0))
    results: list[Result] = []
    for _ in range(6):
        block = [measure(strategy.ask()) for _ in range(8)]
        strategy.tell(block)
        results += block
    rollouts = results[len(STUDENTS.uniform()) :]
    assert [reward.digest for reward in strategy.rewards] == [result.candidate.digest for result in rollouts]
    assert [r.value for r in strategy.rewards] == [
        strategy._reward(result, r.weight) for result, r in zip(rollouts, strategy.rewards, strict=True)
    ]
    assert {reward.weight for reward in strategy.rewards} == {0.5, 2.0}
    curve = [(reward.policy, reward.update) for reward in strategy.rewards]
    assert list(dict.fromkeys(curve))[2:4] == [("removal", 3), ("shrinkage", 1)]


def test_policies_begin_another_search() -> None:
    """Also one on a teacher of another depth, where untrained ones have everything to learn."""
    policies: dict[str, Any] = {}
    rewards_of(make(removal=800, save="small", policies=policies), 100)
    fresh, warm = (rewards_of(make(seed=7, start=start, policies=policies), 8) for start in (None, "small"))
    assert np.mean(warm[4:]) > np.mean(fresh[4:]) + 0.05


def test_stored_policies_say_what_they_fit() -> None:
    policies: dict[str, Any] = {}
    rewards_of(make(save="small", policies=policies), 2)
    stored = StoredPolicies.model_validate(
        {"name": "small", "teacher": "digits", "job": "j", "saved_at": "2026-01-01T00:00:00Z", **policies["small"]}
    )
    assert stored.family == f"conv {LAYERS}"
    assert stored.choices == {"removal": 2, "shrinkage": len(FACTORS)}
    assert dict(stored.encodings) == {target: encoding.numbers for target, encoding in ENCODINGS.items()}
    assert list(stored.encodings) == list(ENCODINGS)


def test_policies_that_are_missing_or_do_not_fit_are_noted() -> None:
    notes: list[str] = []
    context = make().context
    stored = {"other": {"networks": {"removal": {}, "shrinkage": {}}}}
    for start in ("none", "other"):
        N2n(replace(context, policies=stored, note=notes.append), N2n.Options(start=start))
    assert "no policies 'none'" in notes[0]
    assert [note.split()[1] for note in notes[1:]] == ["removal", "shrinkage"]


def test_policies_that_do_not_fit_are_an_error_of_names_alone() -> None:
    with pytest.raises(ValidationError, match="different names"):
        N2n.Options(start="a", save="a")
    with pytest.raises(ValidationError, match="greater than 0"):
        N2n.Options(weights=(0.0,))


class TestReward:
    def reward(self, gains: tuple[float, ...] | None, violations: tuple[float, ...] = (), **options: Any) -> float:
        strategy = make(**options)
        strategy.tell([measure(strategy.ask())])
        return strategy._reward(Result(STUDENTS.baseline(), gains, violations), 1.0)

    def test_it_is_that_of_the_paper(self) -> None:
        teacher = measure(STUDENTS.baseline()).gains
        assert teacher is not None
        assert self.reward((teacher[0] * 0.9, teacher[1] * 0.25)) == pytest.approx(0.75 * 1.25 * 0.9)

    def test_failures_and_students_that_save_nothing(self) -> None:
        assert self.reward(None) == -1
        assert self.reward(measure(STUDENTS.baseline()).gains) == -1

    def test_a_speed_up_is_a_saving_of_time(self) -> None:
        strategy = make(metrics=("accuracy", "speedup"))
        strategy.tell([Result(strategy.ask(), (80.0, 1.0))])
        assert strategy._reward(Result(STUDENTS.baseline(), (80.0, 4.0)), 1.0) == pytest.approx(0.75 * 1.25)

    def test_a_violation_costs_more_from_update_to_update(self) -> None:
        teacher = measure(STUDENTS.baseline()).gains
        assert teacher is not None
        strategy = make(constraints=("accuracy >= 80",))
        rewards_of(strategy, 1)
        rewards = []
        for update in (0, 5, 15, 40):
            strategy._updates = update
            rewards.append(strategy._reward(Result(STUDENTS.baseline(), (teacher[0], teacher[1] / 2), (1.0,)), 1.0))
        assert rewards[0] == pytest.approx(0.75)
        assert rewards == sorted(rewards, reverse=True)
        assert rewards[2:] == [-1, -1]

    def test_a_larger_weight_asks_for_smaller_students(self) -> None:
        small, large = (Result(STUDENTS.baseline(), gains) for gains in ((70.0, -1000.0), (90.0, -6000.0)))
        strategy = make()
        strategy.tell([measure(strategy.ask())])
        gentle, strong = ([strategy._reward(r, weight) for r in (small, large)] for weight in (0.2, 3.0))
        assert gentle[0] < gentle[1]
        assert strong[0] > strong[1]
