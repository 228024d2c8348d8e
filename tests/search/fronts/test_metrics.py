"""Figures of several devices in one mapping, and what names mean in it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from evaluators.measuring.measurement import Measurement
from evaluators.modelled.candidate import ModelledCandidate
from evaluators.modelled.dry_run import dry_run_metrics
from hwprofiles import find_device
from search.fronts.metrics import (
    DEVICE_METRICS,
    device_figures,
    drop_device,
    figures_on,
    is_device_metric,
    merge_devices,
    replace_device,
)
from search.fronts.objectives import Constraint, Objective, metric_interval, metric_value
from search.fronts.pareto import reference_point
from search.space.candidate import Decision
from search.space.merging import merge_decisions

A = {
    "cosine": 0.99, "intervals": {"cosine": [0.98, 1.0]}, "size_bytes": 100,
    "speedup": {"ratio": 2.0, "ci95": [1.9, 2.1]}, "latency_ms": {"p50": 4.0, "p90": 5.0},
}  # fmt: skip
B = A | {"cosine": 0.97, "speedup": {"ratio": 8.0, "ci95": [7.6, 8.4]}, "latency_ms": {"p50": 1.0, "p90": 1.5}}
BOTH = merge_devices(("a", "b"), {"a": A, "b": B})


class TestJoined:
    def test_what_is_the_same_stands_there_once(self) -> None:
        assert set(BOTH) == {*A, "cosine@b", "speedup@b", "latency_ms@b", "devices"}

    def test_each_device_gets_its_figures_back(self) -> None:
        assert figures_on(BOTH, "a") == A
        assert figures_on(BOTH, "b") == B
        assert figures_on(BOTH, "c") == {}

    def test_a_device_s_own_figure_is_kept_even_where_it_is_equal(self) -> None:
        assert merge_devices(("a", "b"), {"a": A, "b": A})["speedup@b"] == A["speedup"]

    @pytest.mark.parametrize("label", ["a", "b"])
    def test_one_that_failed_has_none(self, label: str) -> None:
        other = "b" if label == "a" else "a"
        figures = A if other == "a" else B
        metrics = merge_devices(("a", "b"), {other: figures}, {label: {"state": "crashed", "reason": "it died"}})
        assert figures_on(metrics, label) == {}
        assert figures_on(metrics, other) == figures
        assert metrics["failures"] == {label: {"state": "crashed", "reason": "it died"}}
        assert metric_value(metrics, f"speedup@{label}") is None
        assert metric_value(metrics, f"cosine@{label}") is None

    def test_later_figures_replace_earlier_ones(self) -> None:
        later = replace_device(BOTH, "b", {"speedup": {"ratio": 7.0}})
        assert (metric_value(later, "speedup@a"), metric_value(later, "speedup@b")) == (2.0, 7.0)
        assert metric_value(replace_device(BOTH, "a", {"speedup": {"ratio": 7.0}}), "speedup@a") == 7.0
        assert replace_device(A, "local-cpu", {"speedup": 1.0})["speedup"] == 1.0

    def test_figures_of_two_moments_never_stand_side_by_side(self) -> None:
        """Energy that could not be counted the second time is not the first time's."""
        earlier = A | {"energy_mj": 12.0, "quality_runtime": "onnxruntime"}
        later = replace_device(earlier, "local-cpu", {"speedup": {"ratio": 1.9}})
        assert later == {
            "cosine": 0.99, "intervals": {"cosine": [0.98, 1.0]}, "size_bytes": 100,
            "quality_runtime": "onnxruntime", "speedup": {"ratio": 1.9},
        }  # fmt: skip
        both = merge_devices(("a", "b"), {"a": earlier, "b": B | {"energy_mj": 3.0}})
        assert metric_value(replace_device(both, "b", {"speedup": 7.0}), "energy_mj@b") is None
        assert metric_value(replace_device(both, "b", {"speedup": 7.0}), "energy_mj@a") == 12.0

    def test_a_devices_own_figures(self) -> None:
        assert device_figures(BOTH, "b") == {"speedup": B["speedup"], "latency_ms": B["latency_ms"]}
        assert device_figures(A, "local-cpu") == {"speedup": A["speedup"], "latency_ms": A["latency_ms"]}

    @pytest.mark.parametrize(("label", "gone", "left"), [("a", "speedup", "speedup@b"), ("b", "speedup@b", "speedup")])
    def test_a_later_failure_takes_them_away(self, label: str, gone: str, left: str) -> None:
        metrics = drop_device(BOTH, label, "timeout", "too slow")
        assert gone not in metrics
        assert left in metrics
        assert figures_on(metrics, label) == {}
        other = "b" if label == "a" else "a"
        assert drop_device(metrics, other, "crashed", "it died") == {}

    def test_of_one_device_nothing_is_left(self) -> None:
        assert drop_device(A, "local-cpu", "timeout", "too slow") == {}


class TestNames:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("speedup@a", 2.0), ("speedup@b", 8.0), ("speedup", 2.0), ("latency_ms.p90@b", 1.5), ("cosine@a", 0.99),
            ("cosine@b", 0.97), ("size_bytes@b", 100.0), ("speedup@min", 2.0), ("speedup@max", 8.0),
            ("speedup@geomean", 4.0), ("latency_ms.p90@max", 5.0), ("speedup@c", None), ("nll@b", None),
            ("nll@min", None), ("latency_ms.p99@b", None),
        ],
    )  # fmt: skip
    def test_what_they_stand_for(self, name: str, value: float | None) -> None:
        assert metric_value(BOTH, name) == (None if value is None else pytest.approx(value))

    @pytest.mark.parametrize(
        ("name", "bounds"),
        [
            ("speedup@b", (7.6, 8.4)), ("speedup@min", (1.9, 2.1)), ("speedup@max", (7.6, 8.4)),
            ("speedup@geomean", (math.sqrt(1.9 * 7.6), math.sqrt(2.1 * 8.4))), ("cosine@b", None), ("cosine@min", None),
            ("latency_ms.p90@b", None),
        ],
    )  # fmt: skip
    def test_their_intervals(self, name: str, bounds: tuple[float, float] | None) -> None:
        assert metric_interval(BOTH, name) == (None if bounds is None else pytest.approx(bounds))

    def test_a_device_s_name_means_nothing_where_there_is_one(self) -> None:
        assert metric_value(A, "speedup@a") is None
        assert metric_value(A, "speedup@min") is None

    def test_a_metric_of_a_user_s_own_may_look_like_it(self) -> None:
        assert metric_value({"wer@clean": 0.1, "wer@min": 0.2}, "wer@clean") == 0.1
        assert metric_value({"wer@clean": 0.1, "wer@min": 0.2}, "wer@min") == 0.2

    def test_folds_of_what_is_not_positive(self) -> None:
        metrics = merge_devices(("a", "b"), {"a": {"speedup": 0.0}, "b": {"speedup": 1.0}})
        assert metric_value(metrics, "speedup@geomean") is None
        assert metric_value(metrics, "speedup@min") == 0.0


class TestJudging:
    def test_an_objective_without_a_device_is_the_worst(self) -> None:
        assert Objective("cosine", "max").gain(BOTH) == 0.97
        assert Objective("cosine", "min").gain(BOTH) == -0.99
        assert Objective("cosine@a", "max").gain(BOTH) == 0.99
        assert Objective("cosine", "max").gain(A) == 0.99

    @pytest.mark.parametrize(
        ("text", "amount"),
        [
            ("speedup >= 3", 1.0), ("speedup@b >= 3", 0.0), ("speedup@b >= 9", 1.0), ("latency_ms <= 3", 1.0),
            ("latency_ms <= baseline - 1", 1.0), ("latency_ms@b <= baseline - 1", 0.0), ("size_bytes@b <= 99", 1.0),
            ("cosine >= 0.98", 0.01), ("cosine@a >= 0.98", 0.0), ("nll <= 1", math.inf),
        ],
    )  # fmt: skip
    def test_a_constraint_without_a_device_holds_everywhere(self, text: str, amount: float) -> None:
        baseline = merge_devices(("a", "b"), {"a": {"latency_ms": 4.0}, "b": {"latency_ms": 9.0}})
        assert Constraint.parse(text).violation(BOTH, baseline) == pytest.approx(amount)

    def test_what_a_device_did_not_give_never_holds(self) -> None:
        metrics = drop_device(BOTH, "b", "timeout", "too slow")
        assert Constraint.parse("speedup@a >= 1").violation(metrics, BOTH) == 0.0
        assert Constraint.parse("speedup >= 1").violation(metrics, BOTH) == math.inf

    def test_references_of_the_hypervolume(self) -> None:
        objectives = [Objective("cosine", "max"), Objective("speedup@b", "max"), Objective("latency_ms@b", "min")]
        assert reference_point(objectives, BOTH) == {"cosine": 0.873, "speedup@b": 1.0, "latency_ms@b": 1.0}


class TestKinds:
    def test_what_a_measurement_gives_is_a_device_s(self) -> None:
        measured = Measurement(
            profile_digest="", runtime="", runtime_version="", baseline_ms=((1.0,),), candidate_ms=((1.0,),),
            sessions=(0,), ratio=1.0, ratio_ci95=(1.0, 1.0), verdict="stable",
        )  # fmt: skip
        assert set(measured.metrics()) <= DEVICE_METRICS
        assert set(dry_run_metrics(ModelledCandidate(()))) - DEVICE_METRICS == {"accuracy", "cosine", "size_bytes"}

    @pytest.mark.parametrize(
        ("name", "is_one"),
        [("speedup", True), ("latency_ms.p90", True), ("peak_memory_bytes", True), ("cosine", False), ("nll", False)],
    )
    def test_by_name(self, name: str, is_one: bool) -> None:
        assert is_device_metric(name) is is_one

    def test_the_model_knows_threads_and_batch(self) -> None:
        candidate = ModelledCandidate((), "x")
        plain: dict[str, Any] = dry_run_metrics(candidate)
        assert dry_run_metrics(candidate, find_device("dry-run")) == plain
        other = dry_run_metrics(candidate, find_device("dry-run", 2, 8))
        assert other["latency_ms"] != plain["latency_ms"]
        assert other["cosine"] == plain["cosine"]


class TestUnion:
    def decisions(self, **choices: str) -> list[Decision]:
        return [
            Decision(name, tuple(text.split()), "precision", target=name, scope="layer")
            for name, text in choices.items()
        ]

    def test_of_one_device_is_what_it_has(self) -> None:
        own = self.decisions(stem="fp32 int8", head="fp32 int4")
        assert merge_decisions([own]) == own

    def test_every_choice_in_order(self) -> None:
        one = self.decisions(stem="fp32 int8 int4", head="fp32 int4")
        other = self.decisions(stem="fp32 dynamic int4", body="fp32 int8", head="fp32 int8")
        assert merge_decisions([one, other]) == self.decisions(
            stem="fp32 dynamic int8 int4", body="fp32 int8", head="fp32 int8 int4"
        )

    def test_of_nothing(self) -> None:
        assert merge_decisions([[], []]) == []
