"""Searches in stages: the conformance suite, what each stage decides about, and on what it begins."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from hwprofiles.errors import InvalidInput
from search.space.candidate import Candidate, Decision, Space
from search.strategies import Result, Staged
from search.strategies.staged import front_of
from search.testing.strategies import (
    COSTS,
    LOSSES,
    SPACE,
    ExploringConformance,
    context_of,
    layer_decisions,
    toy_gains,
    toy_result,
)

WIDTHS = [Decision(f"width:{n}", ("fp32", "int8"), "pruning", target=str(n), scope="module") for n in range(4)]
TWO = Space((*WIDTHS, *layer_decisions(4)), "context")


def gains(candidate: Candidate) -> tuple[float, float]:
    values = candidate.decisions.values()
    return -sum(LOSSES[v] * 2.0**n for n, v in enumerate(values)), -sum(COSTS[v] for v in values)


def part(candidate: Candidate, technique: str) -> tuple[str, ...]:
    return tuple(candidate.decisions[d.name] for d in TWO.decisions_of(technique))


def run(strategy: Staged, trials: int) -> list[Candidate]:
    asked: list[Candidate] = []
    while len(asked) < trials:
        block = [strategy.ask() for _ in range(strategy.batch)]
        strategy.tell([Result(candidate, gains(candidate)) for candidate in block])
        asked += block
    return asked


def make(*stages: dict[str, Any], space: Space = TWO) -> Staged:
    return Staged(context_of(space), Staged.Options(stages=stages))


class TestStaged(ExploringConformance):
    kind = Staged
    small: ClassVar[dict[str, Any]] = {"stages": [{"strategy": "random", "options": {"batch": 4}}]}


class TestTwoStages(TestStaged):
    """The second one begins in the middle of what the suite does."""

    def make(self, space: Space = SPACE, **more: Any) -> Any:
        first = {"strategy": "random", "options": {"batch": 8}, "trials": 16}
        second = {"strategy": "random", "options": {"batch": 8}}
        return super().make(space, **{"stages": [first, second], **more})


def test_a_stage_decides_about_its_own_techniques_on_the_front_so_far() -> None:
    strategy = make(
        {"space": ["pruning"], "strategy": "random", "trials": 14, "options": {"batch": 8}},
        {"space": ["precision"], "strategy": "random", "options": {"batch": 8}},
    )
    first: list[Candidate] = []
    while len({candidate.digest for candidate in first}) < 14:
        first += run(strategy, 1)
    second = run(strategy, 60)
    assert {part(candidate, "precision") for candidate in first} == {("fp32",) * 4}
    members = front_of([Result(candidate, gains(candidate)) for candidate in first], 8)
    assert len(members) > 2
    assert {part(candidate, "pruning") for candidate in second} == {part(member, "pruning") for member in members}
    assert len({part(candidate, "precision") for candidate in second}) > 10
    assert all(candidate.origin == {"stage": 1, "strategy": "random", "base": None} for candidate in first)
    by_digest = {candidate.digest: candidate for candidate in first}
    for candidate in second:
        assert candidate.origin is not None
        assert candidate.origin["stage"] == 2
        base = by_digest.get(candidate.origin["base"], TWO.baseline())
        assert part(candidate, "pruning") == part(base, "pruning")


def test_the_learning_curves_of_stages_follow_each_other() -> None:
    learning = {"strategy": "n2n", "options": {"rollouts": 4, "removal": 0}, "trials": 6}
    random = {"strategy": "random", "options": {"batch": 4}, "space": ["precision"], "trials": 2}
    strategy = make({**learning, "space": ["pruning"]}, random, {**learning, "space": ["precision"]})
    asked = {candidate.digest for candidate in run(strategy, 60)}
    stages = [reward.stage for reward in strategy.rewards]
    assert set(stages) == {1, 3}
    assert stages == sorted(stages, key=lambda stage: stage or 0)
    assert {reward.digest for reward in strategy.rewards} <= asked


def test_a_stage_that_has_nothing_new_is_over() -> None:
    strategy = make(
        {"space": ["pruning"], "strategy": "random", "trials": 1000},
        {"space": ["precision"], "strategy": "random"},
    )
    assert any(part(candidate, "precision") != ("fp32",) * 4 for candidate in run(strategy, 200))


def test_a_strategy_is_told_of_its_last_new_candidates_before_its_stage_is_over() -> None:
    """So does N2N narrow what is left by a removal stage that has tried everything."""
    keep = Decision("student:a#keep", ("1", "0"), "student", target="a#keep", scope="module")
    widths = [Decision(f"student:{n}", ("1", "0.5", "0.25"), "student", target=n, scope="module") for n in "ab"]
    strategy = make(
        {"space": ["student"], "strategy": "n2n", "options": {"removal": 24}, "trials": 1000},
        {"space": ["precision"], "strategy": "random"},
        space=Space((keep, *widths, *layer_decisions(2)), "context"),
    )
    seen: set[str] = set()
    students: set[tuple[str, ...]] = set()
    for _ in range(4):
        block: list[Candidate] = []
        while len({candidate.digest for candidate in block} - seen) < strategy.batch and len(block) < 100:
            block.append(strategy.ask())
        seen |= {candidate.digest for candidate in block}
        students |= {tuple(c.decisions[w.name] for w in widths) for c in block if c.origin and c.origin["stage"] == 1}
        strategy.tell([Result(candidate, (1.0, 1.0)) for candidate in block])
    assert any(len(set(student)) == 2 for student in students)


def test_techniques_of_no_stage_belong_to_the_last() -> None:
    strategy = make({"space": ["pruning"], "trials": 5}, {"space": ["pruning"], "strategy": "random"})
    assert any(part(candidate, "precision") != ("fp32",) * 4 for candidate in run(strategy, 60))


def test_the_front_is_spread_and_begins_with_the_most_balanced() -> None:
    some = [SPACE.candidate({d.name: d.choices[n % len(d.choices)] for d in SPACE.decisions}) for n in range(3)]
    results = [Result(c, g) for c, g in zip(some, [(0.0, 10.0), (9.0, 9.0), (10.0, 0.0)], strict=True)]
    assert front_of(results, 8)[0] == some[1]
    assert len(front_of(results, 2)) == 2
    assert front_of([Result(some[0], None), Result(some[1], toy_gains(some[1]), (1.0,))], 8) == []
    assert front_of([toy_result(some[0])] * 3, 8) in ([], [some[0]])


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"space": ["prunning"]}, r"stages\.0\.space: the job's space has no technique 'prunning'"),
        ({"strategy": "nsga3"}, r"stages\.0\.strategy: unknown strategy 'nsga3'"),
        ({"strategy": "staged"}, r"stages\.0\.strategy: unknown strategy 'staged'"),
        ({"strategy": "nsga2", "options": {"popluation": 3}}, r"stages\.0\.options\.popluation: unknown key"),
        ({"strategy": "n2n", "space": ["pruning"]}, r"stages\.0\.space: the strategy 'n2n' needs .* 'student'"),
    ],
)
def test_mistakes_name_the_stage(stage: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Staged.sections({"pruning": {}, "precision": {}}, {"stages": [stage]})
