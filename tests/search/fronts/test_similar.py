"""Members that are equal within noise."""

from __future__ import annotations

from search.fronts.objectives import Objective
from search.fronts.pareto import Entry
from search.fronts.similar import group_similar

OBJECTIVES = [Objective("cosine", "max"), Objective("speedup", "max")]


def entry(name: str, cosine: float | None, ratio: float, half: float = 0.05) -> Entry:
    speedup = {"ratio": ratio, "ci95": [ratio - half, ratio + half]}
    return Entry(name, 0, {"cosine": cosine, "speedup": speedup} if cosine is not None else {"speedup": speedup})


def test_equal_in_all_objectives() -> None:
    members = [entry("a", 0.99998, 3.0), entry("b", 0.99999, 2.97), entry("c", 0.9, 3.0), entry("d", 0.99999, 2.5)]
    assert group_similar(members, OBJECTIVES) == {"a": "a", "b": "a", "c": "c", "d": "d"}


def test_the_first_stands_for_its_like() -> None:
    members = [entry("a", 0.99998, 3.0), entry("b", 0.99999, 2.97)]
    assert group_similar(members, OBJECTIVES, "b") == {"a": "b", "b": "b"}
    assert list(group_similar(members, OBJECTIVES, "b")) == ["a", "b"]


def test_a_chain_is_not_one_group() -> None:
    """The last of three neighbours is not like the first."""
    members = [entry("a", 1.0, 3.0), entry("b", 1.0, 2.96), entry("c", 1.0, 2.92)]
    assert group_similar(members, OBJECTIVES) == {"a": "a", "b": "a", "c": "c"}


def test_a_figure_that_is_missing_is_like_no_other() -> None:
    members = [entry("a", None, 3.0), entry("b", 1.0, 3.0), entry("c", None, 3.0)]
    assert group_similar(members, OBJECTIVES) == {"a": "a", "b": "b", "c": "a"}


def test_a_wide_interval_takes_no_one_in_that_is_outside() -> None:
    members = [entry("wide", 1.0, 2.5, 0.5), entry("slow", 1.0, 1.95, 0.15), entry("fast", 1.0, 3.1, 0.2)]
    assert len(set(group_similar(members, OBJECTIVES).values())) == 3


def test_comparisons_of_outputs_differ_from_one_in_ten_thousand() -> None:
    members = [entry("a", 0.9990, 3.0), entry("b", 0.99999, 3.0), entry("c", 0.99995, 3.0)]
    assert group_similar(members, OBJECTIVES) == {"a": "a", "b": "b", "c": "b"}


def test_smaller_differences_than_a_thousandth_do_not_matter() -> None:
    size = [Objective("size_bytes", "min")]
    members = [Entry(str(bytes_), 0, {"size_bytes": bytes_}) for bytes_ in (1_000_000, 1_000_900, 1_100_000)]
    assert list(group_similar(members, size).values()) == ["1000000", "1000000", "1100000"]
