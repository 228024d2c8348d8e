from __future__ import annotations

from collections.abc import Iterator

import pytest

from dashboards.words import candidates as words
from dashboards.words.candidates import decisions_summary, training_in_words
from dashboards.words.learning import ROWS, curve_columns, curve_rows
from search.space.candidate import Decision, Scope, Space

LAYERS = (Decision(name, ("fp32", "int8", "int4"), "precision", target=name, scope="layer") for name in "abcd")
SPACE = Space((*LAYERS, Decision("width", ("full", "half"), "student")), "")


@pytest.fixture(autouse=True)
def _techniques_anew() -> Iterator[None]:
    """Another test may have installed a package whose techniques are remembered."""
    words._technique.cache_clear()
    yield
    words._technique.cache_clear()


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        ("fp32 fp32 fp32 fp32 full", "unchanged"),
        ("int8 int8 int8 int8 full", "all 4 layers int8"),
        ("int8 int8 int8 fp32 full", "3 of 4 layers int8"),
        ("int8 int4 int8 fp32 half", "2 of 4 layers int8, 1 of 4 layers int4, width half"),
        ("fp32 fp32 fp32 fp32 half", "width half"),
    ],
)
def test_decisions_are_summed_up(values: str, summary: str) -> None:
    assert decisions_summary(dict(zip([*"abcd", "width"], values.split(), strict=True)), SPACE) == summary


def test_decisions_without_a_known_space_are_listed() -> None:
    assert decisions_summary({"a": "int8", "b": "int8"}, None) == "all 2 layers int8"
    assert decisions_summary({}, None) == "unchanged"


def test_training_in_words() -> None:
    course = {"figures": [0.5, 0.75, 0.7], "stopped": False}
    assert training_in_words({"training": course}) == "0.5000 before training, 0.7500 at best after it, 2 evaluations"
    assert training_in_words({"training": {"figures": [], "stopped": False}}) is None
    assert training_in_words({"accuracy": 1.0}) is None


def test_a_learning_curve_has_a_few_rows() -> None:
    rewards = [
        {"policy": "removal", "update": 1 + n // 2, "value": 0.01 * n, "weight": 1.0 + n % 2, "stage": None}
        for n in range(200)
    ]
    rows = curve_rows(rewards)
    assert [row["weight"] for row in rows] == ["1"] * ROWS + ["2"] * ROWS
    assert sum(row["rollouts"] for row in rows) == 200
    assert (rows[0]["updates"], rows[0]["mean"], rows[0]["best"]) == ("1–17", "0.160", "0.320")
    assert rows[-1]["updates"] == "86–100"
    assert list(curve_columns(rows)) == ["policy", "weight", "updates", "rollouts", "mean", "best"]
    assert curve_rows([]) == []


def test_stages_are_named_where_there_are_several() -> None:
    rewards = [{"policy": "removal", "update": 1, "value": 0.5, "weight": 1.0, "stage": stage} for stage in (1, 3)]
    rows = curve_rows(rewards)
    assert [(row["stage"], row["updates"]) for row in rows] == [(1, "1"), (3, "1")]
    assert next(iter(curve_columns(rows))) == "stage"


def test_a_pruned_candidate_says_what_stays() -> None:
    choices = {"a": ("1", "0.5"), "b": ("1", "0.375"), "c": ("1", "0.5"), "d": ("1", "0")}
    space = Space(tuple(Decision(n, c, "pruning", target=n, scope="module") for n, c in choices.items()), "")
    found = decisions_summary({"a": "0.5", "b": "1", "c": "0.5", "d": "0"}, space)
    assert found == "2 of 4 groups kept to 50 %, 1 of 4 groups left out"
    assert decisions_summary(dict.fromkeys("abcd", "1"), space) == "unchanged"


def test_other_values_of_parts_of_a_module_are_said_as_they_are() -> None:
    decisions = (Decision(name, ("smooth", "relu"), "activation", target=name, scope="module") for name in "ab")
    assert decisions_summary({"a": "relu", "b": "smooth"}, Space(tuple(decisions), "")) == "1 of 2 groups relu"


@pytest.mark.parametrize(("scope", "noun"), [("module", "groups"), ("layer", "layers")])
def test_a_number_follows_the_technique_that_it_belongs_to(scope: Scope, noun: str) -> None:
    decisions = [Decision(f"low_rank:{name}", ("full", "8"), "low_rank", target=name, scope=scope) for name in "abc"]
    changed = dict.fromkeys(("low_rank:a", "low_rank:b"), "8") | {"low_rank:c": "full"}
    assert decisions_summary(changed, Space(tuple(decisions), "")) == f"2 of 3 {noun} low_rank 8"


@pytest.mark.parametrize(("value", "text"), [("0.25", "lookup 0.25"), ("0", "lookup 0")])
def test_a_number_means_what_its_own_technique_says(value: str, text: str) -> None:
    """Shares of channels are what pruning's numbers are; those of another technique are something else."""
    decisions = [Decision(f"lookup:{n}", ("1", "0.25", "0"), "lookup", target=n, scope="module") for n in "abcdefg"]
    changed = {decision.name: value for decision in decisions}
    assert decisions_summary(changed, Space(tuple(decisions), "")) == f"all 7 groups {text}"


@pytest.mark.usefixtures("toy_package")
def test_a_technique_of_a_package_has_words_of_its_own() -> None:
    decisions = [Decision(f"low_rank:{n}", ("full", "8"), "low_rank", target=n, scope="module") for n in "ab"]
    found = decisions_summary({"low_rank:a": "8", "low_rank:b": "full"}, Space(tuple(decisions), ""))
    assert found == "1 of 2 groups of rank 8"
