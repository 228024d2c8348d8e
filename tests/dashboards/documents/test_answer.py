"""The answer to a job in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.words.answer import answer_of, comparison_of

BASELINE = {"accuracy": 0.9886, "cosine": 1.0, "size_bytes": 4_000_000, "latency_ms": {"p50": 3.4}}
OBJECTIVES = [{"metric": "accuracy", "direction": "max"}, {"metric": "speedup", "direction": "max"}]


def front(metrics: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    members = [] if metrics is None else [{"candidate_id": "c0ffee", "metrics": metrics}]
    return {
        "front": members,
        "best_compromise": None if metrics is None else "c0ffee",
        "baseline": {"metrics": BASELINE},
        "objectives": OBJECTIVES,
        "constraints": [],
        "evidence": "measured",
        "nearest_miss": None,
    } | fields


def speedup(ratio: float, half: float = 0.01) -> dict[str, Any]:
    return {"ratio": ratio, "ci95": [ratio - half, ratio + half]}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (
            {"speedup": speedup(3.4), "size_bytes": 1_000_000, "accuracy": 0.98861},
            "3.4x faster, 4.0x smaller, same accuracy (0.9886 against 0.9886)",
        ),
        (
            {"speedup": speedup(1.005), "size_bytes": 4_010_000, "accuracy": 0.97},
            "no measurable difference in speed (1.00x), same size, accuracy 0.9700 against 0.9886",
        ),
        (
            {"speedup": speedup(0.5), "size_bytes": 6_000_000, "accuracy": 0.99},
            "2.0x slower, 1.50x larger, accuracy 0.9900 against 0.9886",
        ),
        ({"speedup": speedup(1.5)}, "1.50x faster"),
    ],
)
def test_gains_and_costs(metrics: dict[str, Any], words: str) -> None:
    assert answer_of(front(metrics)) == words


def test_a_further_cost_that_is_an_objective() -> None:
    objectives = [*OBJECTIVES, {"metric": "peak_memory_bytes", "direction": "min"}]
    baseline = {"metrics": BASELINE | {"peak_memory_bytes": 4e6}}
    metrics = {"speedup": speedup(1.003, 0.001), "peak_memory_bytes": 1e6}
    answer = answer_of(front(metrics, objectives=objectives, baseline=baseline))
    assert answer == "no measurable difference in speed (1.00x), 4.0x less peak memory"


def test_where_only_outputs_are_compared() -> None:
    objectives = [{"metric": "cosine", "direction": "max"}]
    metrics = {"speedup": speedup(2.0), "cosine": 0.99998}
    of_outputs = front(metrics, objectives=objectives, baseline={"metrics": {"cosine": 1.0}})
    assert answer_of(of_outputs) == "2.0x faster, cosine of the outputs to the original's 0.999980"


def test_labels_say_more_than_a_comparison_of_outputs() -> None:
    objectives = [{"metric": "cosine", "direction": "max"}]
    metrics = {"cosine": 0.99998, "accuracy": 0.9850}
    assert answer_of(front(metrics, objectives=objectives)) == "accuracy 0.9850 against 0.9886"


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ("modelled", "By the device's peaks, at most 4.0x faster"),
        ("invented", "In a dry run, with made-up figures, 4.0x"),
    ],
)
def test_what_was_not_measured_is_said(evidence: str, words: str) -> None:
    assert str(answer_of(front({"speedup": speedup(4.0)}, evidence=evidence))).startswith(words)


def test_without_a_candidate_that_is_better() -> None:
    unchanged = front({"speedup": speedup(1.0)}, best_compromise=None)
    assert answer_of(unchanged) == "No candidate improves measurably on the unchanged model in any objective"


def test_without_a_feasible_candidate() -> None:
    miss = {"candidate_id": "beef", "reason": "breaks speedup >= 50", "metrics": {"speedup": speedup(2.98)}}
    constraints = ["speedup >= 50", "accuracy >= baseline - 0.1"]
    assert answer_of(front(None, nearest_miss=miss, constraints=constraints)) == (
        "No candidate meets all constraints; closest: beef (speedup 2.98×, but speedup >= 50 is required)"
    )
    assert answer_of(front(None)) is None


def test_a_candidate_without_figures_has_no_sentence() -> None:
    assert comparison_of(front({}), {}) == ""
