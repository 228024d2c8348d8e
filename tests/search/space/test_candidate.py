"""Candidates are data: named by content, checked against their space."""

from __future__ import annotations

import json
import pickle
from math import prod

import pytest

from search.space.candidate import Candidate, Decision, Replacement, Space

LAYERS = tuple(
    Decision(f"precision:{name}", ("fp32", "int8", "int4"), "precision", target=name, scope="layer")
    for name in ("stem", "body")
)
HEAD = Decision("precision:head", ("fp32", "int8"), "precision", target="head", scope="layer")
GRAPH = Decision("graph", ("plain", "fused"), "graph")
SPACE = Space((*LAYERS, HEAD, GRAPH), "context")

VALUES = {"precision:stem": "int8", "precision:body": "int4", "precision:head": "fp32", "graph": "fused"}


class TestCandidates:
    def test_values_are_kept_in_the_spaces_order(self) -> None:
        shuffled = dict(reversed(VALUES.items()))
        assert list(SPACE.candidate(shuffled).decisions.items()) == list(VALUES.items())
        assert SPACE.candidate(shuffled) == SPACE.candidate(VALUES)

    def test_equal_content_equal_digest(self) -> None:
        assert SPACE.candidate(VALUES).digest == SPACE.candidate(dict(reversed(VALUES.items()))).digest

    @pytest.mark.parametrize("name", VALUES)
    def test_any_other_value_is_another_digest(self, name: str) -> None:
        choices = next(d.choices for d in SPACE.decisions if d.name == name)
        digests = {SPACE.candidate(VALUES | {name: choice}).digest for choice in choices}
        assert len(digests) == len(choices)

    def test_another_context_is_another_candidate(self) -> None:
        assert Space(SPACE.decisions, "another").candidate(VALUES).digest != SPACE.candidate(VALUES).digest

    @pytest.mark.parametrize(
        "values",
        [
            {},
            {"graph": "fused"},
            VALUES | {"pruning": "0.5"},
            {name: value for name, value in VALUES.items() if name != "graph"},
        ],
    )
    def test_one_value_for_each_decision(self, values: dict[str, str]) -> None:
        with pytest.raises(ValueError, match="not for the decisions of this space"):
            SPACE.candidate(values)

    def test_only_values_that_there_are(self) -> None:
        with pytest.raises(ValueError, match="precision:head: 'int4' is not among"):
            SPACE.candidate(VALUES | {"precision:head": "int4"})

    def test_it_travels_between_processes(self) -> None:
        candidate = SPACE.candidate(VALUES)
        digest = candidate.digest
        again = pickle.loads(pickle.dumps(candidate))
        assert again == candidate
        assert again.digest == digest

    def test_stored_decisions_make_it_again(self) -> None:
        candidate = SPACE.candidate(VALUES)
        stored = json.loads(json.dumps(candidate.decisions))
        assert Candidate(tuple(stored.items()), "context").digest == candidate.digest


class TestSpaces:
    def test_size(self) -> None:
        assert SPACE.size == 3 * 3 * 2 * 2 == prod(len(d.choices) for d in SPACE.decisions)
        assert Space((), "").size == 1

    def test_the_baseline_changes_nothing(self) -> None:
        assert set(SPACE.baseline().decisions.values()) == {"fp32", "plain"}

    def test_a_round_trip_through_json(self) -> None:
        again = Space.from_dict(json.loads(json.dumps(SPACE.to_dict())))
        assert again == SPACE
        assert again.candidate(VALUES).digest == SPACE.candidate(VALUES).digest


class TestUniform:
    def rows(self, space: Space) -> list[tuple[str, ...]]:
        return [tuple(candidate.decisions.values()) for candidate in space.uniform()]

    def test_one_value_everywhere_that_it_is_possible(self) -> None:
        assert self.rows(Space((*LAYERS, HEAD), "")) == [
            ("fp32", "fp32", "fp32"),
            ("int8", "int8", "int8"),
            ("int4", "int4", "fp32"),
        ]

    def test_techniques_are_crossed(self) -> None:
        assert self.rows(Space((HEAD, GRAPH), "")) == [
            ("fp32", "plain"),
            ("fp32", "fused"),
            ("int8", "plain"),
            ("int8", "fused"),
        ]

    def test_none_comes_twice(self) -> None:
        alone = Decision("a", ("fp32",), "precision")
        space = Space((alone, Decision("b", ("fp32", "int8", "int4"), "precision"), GRAPH), "")
        assert len(self.rows(space)) == len(set(self.rows(space))) == 6

    @pytest.mark.parametrize(
        "decisions",
        [
            (),
            (HEAD,),
            (GRAPH, *LAYERS),
            (Decision("a", ("8", "4"), "block"), Decision("b", ("4", "8"), "block")),
            (Decision("a", ("fp32", "int8"), "precision"), Decision("minmax", ("minmax", "entropy"), "precision")),
        ],
        ids=["no decision", "one", "two techniques", "different first choices", "different values"],
    )
    def test_the_baseline_comes_first(self, decisions: tuple[Decision, ...]) -> None:
        space = Space(decisions, "")
        assert space.uniform()[0] == space.baseline()
        assert all(space.candidate(candidate.decisions) == candidate for candidate in space.uniform())


class TestReplacements:
    """Runtimes share decisions; a candidate holds what its runtime makes of them."""

    RUNTIMES = Decision("runtime", ("one", "other"), "runtime", scope="device")
    SHARED = Space(
        (RUNTIMES, *LAYERS, HEAD),
        "context",
        (Replacement("other", "precision", "int8", "int4"), Replacement("one", "precision", "int4", "fp32")),
    )
    INT8 = {"precision:stem": "int8", "precision:body": "int8", "precision:head": "int8"}  # noqa: RUF012

    def test_a_runtime_keeps_its_own_values(self) -> None:
        assert self.SHARED.candidate({"runtime": "one"} | self.INT8).decisions == {"runtime": "one"} | self.INT8

    def test_another_gets_what_stands_in_where_it_is_possible(self) -> None:
        """The head has no int4."""
        assert self.SHARED.candidate({"runtime": "other"} | self.INT8).decisions == {
            "runtime": "other", "precision:stem": "int4", "precision:body": "int4", "precision:head": "fp32"
        }  # fmt: skip

    def test_two_ways_to_ask_for_the_same_are_one_candidate(self) -> None:
        mixed = {"runtime": "one", "precision:stem": "int4", "precision:body": "int8", "precision:head": "fp32"}
        plain = mixed | {"precision:stem": "fp32"}
        assert self.SHARED.candidate(mixed).digest == self.SHARED.candidate(plain).digest

    def test_seeds_are_different_candidates(self) -> None:
        seeds = self.SHARED.uniform()
        assert len({seed.digest for seed in seeds}) == len(seeds) == 4

    def test_they_are_kept_with_the_space(self) -> None:
        stored = json.loads(json.dumps(self.SHARED.to_dict()))
        assert Space.from_dict(stored) == self.SHARED

    def test_a_space_without_them_is_stored_as_ever(self) -> None:
        assert set(SPACE.to_dict()) == {"decisions", "context"}
