"""Absolute figures of different hours compare, since they are a ratio times one reference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from search.fronts.objectives import Constraint, metric_interval, metric_value
from search.fronts.reference import Reference

BASELINE = {"latency_ms": {"p50": 4.0}, "energy_mj": 20.0, "throughput": {"ratio": 1.0, "per_s": 100.0}}
HALF = Constraint.parse("latency_ms <= baseline * 0.5")


def measured(ratio: float, hour: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Candidate and baseline in an hour in which everything takes ``hour`` times as long."""
    ms = hour * 4.0 / ratio
    candidate = {
        "latency_ms": {"p50": ms, "ci95": [0.99 * ms, 1.01 * ms], "n": 200, "p90": 1.2 * ms},
        "speedup": {"ratio": ratio, "ci95": [0.9 * ratio, 1.1 * ratio]},
        "energy_mj": hour * 20.0 / ratio,
        "throughput": {"ratio": ratio, "ci95": [0.9 * ratio, 1.1 * ratio], "per_s": 100 * ratio / hour, "n": 10},
        "cosine": 0.99,
    }
    return candidate, {"energy_mj": hour * 20.0}


@pytest.mark.parametrize("hour", [0.5, 0.7, 1.0, 1.3, 2.0])
def test_a_slow_or_fast_hour_moves_no_figure(hour: float) -> None:
    found = Reference.of(BASELINE).pair(*measured(2.0, hour))
    assert found["latency_ms"]["p50"] == 2.0
    assert found["latency_ms"]["p90"] == pytest.approx(2.4)
    assert metric_interval(found, "latency_ms") == pytest.approx((4 / 2.2, 4 / 1.8))
    assert found["energy_mj"] == pytest.approx(10.0)
    assert metric_value(found, "throughput.per_s") == 200.0
    assert metric_value(found, "latency_ms.raw") == 2.0 * hour
    assert (found["energy_mj_raw"], found["throughput"]["raw_per_s"]) == (10 * hour, 200 / hour)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(("ratio", "hour"), [(1.5, 0.7), (2.2, 1.3), (2.2, 0.7), (1.5, 1.3)])
def test_a_relative_constraint_is_about_the_ratio(ratio: float, hour: float) -> None:
    found = Reference.of(BASELINE).pair(*measured(ratio, hour))
    assert (HALF.violation(found, BASELINE) == 0.0) == (ratio >= 2.0)


def test_without_a_reference_or_a_pair_figures_stay_as_they_are() -> None:
    candidate, baseline = measured(2.0, 1.3)
    assert Reference().pair(candidate, baseline) == candidate
    for alone in ({"latency_ms": 3.0}, {"peak_memory_bytes": 5}, {"energy_mj": 3.0}, {}):
        assert Reference.of(BASELINE).pair(alone, {}) == alone
