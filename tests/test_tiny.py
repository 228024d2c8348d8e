"""A whole search on the modelled device, from the job file to the front, as ``paretune run --format json`` does it."""

from __future__ import annotations

from typing import Any

import pytest
from small_jobs import FinishedJob

from search.fronts.objectives import Objective, gains
from search.fronts.pareto import dominates

NUMBER = (int, float)
INTERVAL = [NUMBER, NUMBER]
LATENCY = {"p50": NUMBER, "ci95": INTERVAL, "n": int}
MEMBER = {
    "candidate_id": str, "digest": str, "trial": int, "state": str, "strategy": str, "simulated": bool,
    "tied_with": list, "decisions": dict,
    "metrics": {
        "accuracy": NUMBER, "cosine": NUMBER, "latency_ms": LATENCY, "speedup": {"ratio": NUMBER, "ci95": INTERVAL},
        "size_bytes": int, "peak_memory_bytes": int,
    },
}  # fmt: skip
SHAPE = {
    "job_id": str, "state": str, "device": str, "trials": {"done": int, "failed": int},
    "objectives": [{"metric": str, "direction": str}, {"metric": str, "direction": str}],
    "hypervolume": {"value": NUMBER, "reference": {"cosine": NUMBER, "speedup": NUMBER}}, "wall_s": NUMBER,
    "baseline": {"metrics": {"accuracy": NUMBER, "latency_ms": LATENCY, "size_bytes": int}},
}  # fmt: skip


def conforms(value: Any, shape: Any) -> bool:
    """Whether a document has at least these keys, of these types."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(key in value and conforms(value[key], shape[key]) for key in shape)
    if isinstance(shape, list):
        return len(value) == len(shape) and all(conforms(one, kind) for one, kind in zip(value, shape, strict=True))
    return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))


@pytest.fixture
def front(modelled_job: FinishedJob) -> dict[str, Any]:
    return modelled_job.front


def test_the_document_has_the_promised_shape(front: dict[str, Any]) -> None:
    assert conforms(front, SHAPE)
    assert front["front"]
    assert all(conforms(member, MEMBER) for member in front["front"])


def test_the_search_is_done(front: dict[str, Any]) -> None:
    assert (front["state"], front["device"], front["final"]) == ("done", "dry-run", True)
    counts = front["trials"]
    assert counts["done"] + counts["infeasible"] == 24
    assert counts["infeasible"] > 0
    assert counts["failed"] == 0
    assert front["wall_s"] > 0


def test_the_front_dominates_and_nothing_in_it_is_dominated(front: dict[str, Any]) -> None:
    objectives = [Objective(**objective) for objective in front["objectives"]]
    points = [gains(objectives, member["metrics"]) for member in front["front"]]
    assert all(a is not None and b is not None and not dominates(a, b) for a in points for b in points if a != b)
    assert len(set(points)) == len(points)
    speeds = [member["metrics"]["speedup"]["ratio"] for member in front["front"]]
    assert speeds == sorted(speeds, reverse=True)
    assert front["hypervolume"]["value"] > 0


def test_every_member_says_that_it_is_modelled(front: dict[str, Any]) -> None:
    for member in front["front"]:
        assert (member["simulated"], member["strategy"], member["state"]) == (True, "nsga2", "done")
        assert member["metrics"]["accuracy"] >= front["baseline"]["metrics"]["accuracy"] - 0.0024
        assert set(member["decisions"].values()) <= {"fp32", "int8", "int8_dynamic", "int8_weight", "int4_weight"}
    assert any(set(member["decisions"].values()) != {"fp32"} for member in front["front"])
