"""Objectives and constraints: what can be written, and what holds."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hwprofiles.errors import InvalidInput
from search.fronts.objectives import Constraint, Objective, gains, metric_interval, metric_value, violations

METRICS: dict[str, Any] = {
    "accuracy": 0.96,
    "size_bytes": 1000,
    "latency_ms": {"p50": 2.0, "ci95": [1.9, 2.1], "p90": 2.5, "n": 300},
    "speedup": {"ratio": 3.4, "ci95": [3.3, 3.5]},
    "score": {"value": 7},
    "empty": {},
    "nan": math.nan,
    "infinite": math.inf,
    "flag": True,
    "text": "0.5",
    "none": None,
    "deep": {"er": {"p50": 4.0}, "nan": {"p50": math.nan}},
}
BASELINE: dict[str, Any] = {
    "accuracy": 0.97,
    "size_bytes": 4000,
    "latency_ms": {"p50": 7.0, "p90": 8.0},
    "nan": math.nan,
    "only here": 1.0,
}


class TestMetrics:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("accuracy", 0.96),
            ("size_bytes", 1000.0),
            ("latency_ms", 2.0),
            ("latency_ms.p50", 2.0),
            ("latency_ms.p90", 2.5),
            ("latency_ms.n", 300.0),
            ("speedup", 3.4),
            ("speedup.ratio", 3.4),
            ("score", 7.0),
            ("deep.er", 4.0),
            ("deep.er.p50", 4.0),
        ],
    )
    def test_a_name(self, name: str, value: float) -> None:
        assert metric_value(METRICS, name) == value

    @pytest.mark.parametrize(
        "name",
        [
            "cosine", "latency_ms.p99", "latency_ms.ci95", "accuracy.p50", "empty", "nan", "infinite", "flag", "text",
            "none", "deep", "deep.nan", "", "accuracy.", ".",
        ],
    )  # fmt: skip
    def test_what_is_no_number_is_missing(self, name: str) -> None:
        assert metric_value(METRICS, name) is None

    @pytest.mark.parametrize(
        ("name", "interval"), [("speedup", (3.3, 3.5)), ("accuracy", None), ("cosine", None), ("score", None)]
    )
    def test_an_interval(self, name: str, interval: tuple[float, float] | None) -> None:
        assert metric_interval(METRICS, name) == interval


class TestObjectives:
    def test_larger_gains_are_better(self) -> None:
        assert Objective("speedup", "max").gain(METRICS) == 3.4
        assert Objective("latency_ms", "min").gain(METRICS) == -2.0
        assert Objective("latency_ms.p90", "min").gain(METRICS) == -2.5

    def test_intervals_turn_with_the_gain(self) -> None:
        assert Objective("speedup", "max").gain_interval(METRICS) == (3.3, 3.5)
        assert Objective("latency_ms", "min").gain_interval(METRICS) == (-2.1, -1.9)
        assert Objective("accuracy", "max").gain_interval(METRICS) is None

    def test_one_missing_metric_and_there_are_no_gains(self) -> None:
        accuracy, speedup = Objective("accuracy", "max"), Objective("speedup", "max")
        assert gains([accuracy, speedup], METRICS) == (0.96, 3.4)
        for missing in ("cosine", "nan", "infinite", "flag"):
            assert Objective(missing, "max").gain(METRICS) is None
            assert gains([accuracy, Objective(missing, "min")], METRICS) is None

    def test_a_gain_of_nothing_is_a_gain(self) -> None:
        assert gains([Objective("accuracy", "max")], {"accuracy": 0}) == (0.0,)


class TestGrammar:
    @pytest.mark.parametrize(
        ("text", "metric", "device", "sign", "factor", "offset"),
        [
            ("accuracy >= 0.9", "accuracy", None, ">=", 0.0, 0.9),
            ("size_bytes<=2000000", "size_bytes", None, "<=", 0.0, 2e6),
            ("size_bytes <= 2e6", "size_bytes", None, "<=", 0.0, 2e6),
            ("nll <= .5", "nll", None, "<=", 0.0, 0.5),
            ("nll <= 5.", "nll", None, "<=", 0.0, 5.0),
            ("cosine >= -1", "cosine", None, ">=", 0.0, -1.0),
            ("cosine >= +1.5E-3", "cosine", None, ">=", 0.0, 0.0015),
            ("accuracy >= baseline", "accuracy", None, ">=", 1.0, 0.0),
            ("accuracy >= baseline - 0.01", "accuracy", None, ">=", 1.0, -0.01),
            ("accuracy>=baseline-0.01", "accuracy", None, ">=", 1.0, -0.01),
            ("nll <= baseline + 0.1", "nll", None, "<=", 1.0, 0.1),
            ("size_bytes <= baseline * 0.5", "size_bytes", None, "<=", 0.5, 0.0),
            ("size_bytes <= baseline * 0", "size_bytes", None, "<=", 0.0, 0.0),
            ("latency_ms.p90 <= 5", "latency_ms.p90", None, "<=", 0.0, 5.0),
            ("latency_ms@local-cpu <= 5", "latency_ms", "local-cpu", "<=", 0.0, 5.0),
            ("latency_ms.p90@board_2.lan <= baseline", "latency_ms.p90", "board_2.lan", "<=", 1.0, 0.0),
            ("fnr:3 <= baseline + 0.01", "fnr:3", None, "<=", 1.0, 0.01),
            ("fnr:tumour@board <= 0.02", "fnr:tumour", "board", "<=", 0.0, 0.02),
            ("  accuracy  >=  0.9  ", "accuracy", None, ">=", 0.0, 0.9),
            ("\taccuracy >= 0.9\n", "accuracy", None, ">=", 0.0, 0.9),
        ],
    )
    def test_what_can_be_written(
        self, text: str, metric: str, device: str | None, sign: str, factor: float, offset: float
    ) -> None:
        parsed = Constraint.parse(text)
        assert parsed == Constraint(text.strip(), metric, device, sign, factor, offset)

    @pytest.mark.parametrize(
        ("text", "metric", "device"),
        [
            ("mAP@50 >= 0.6", "mAP@50", None),
            ("mAP@50-95 >= 0.6", "mAP@50-95", None),
            ("mAP@0.5 >= 0.6", "mAP@0.5", None),
            ("box/iou >= baseline-0.01", "box/iou", None),
            ("word-error <= 0.2", "word-error", None),
            ("mAP@50@board >= 0.6", "mAP@50", "board"),
            ("mAP@board >= 0.6", "mAP", "board"),
            ("latency_ms@bord <= 5", "latency_ms", "bord"),
        ],
    )
    def test_a_metric_of_a_user_s_own_may_have_signs_in_its_name(
        self, text: str, metric: str, device: str | None
    ) -> None:
        parsed = Constraint.parse(text, ("board",))
        assert (parsed.metric, parsed.device) == (metric, device)

    @pytest.mark.parametrize(
        "text",
        [
            "", "accuracy", "accuracy >=", ">= 0.9", "accuracy > 0.9", "accuracy < 0.9", "accuracy == 0.9",
            "accuracy => 0.9", "0.9 <= accuracy", "accuracy >= high", "accuracy >= 0.9 and size_bytes <= 5",
            "accuracy >= 0.9, size_bytes <= 5", "accuracy >= baseline / 2", "accuracy >= baseline - 1%",
            "accuracy >= baseline 0.1", "accuracy >= 2 * baseline", "accuracy >= baseline - baseline",
            "accuracy >= baseline - 0.01 - 0.02", "accuracy >= nan", "accuracy >= inf", "accuracy >= 0x10",
            "accuracy >= 1_000", "accuracy >= 1,5", "accuracy.>= 1", "accuracy..x >= 1", "9lives >= 1",
            "accuracy@ >= 1", "accuracy@a b >= 1", "__import__('os').system('true') >= 1", "accuracy >= 1e", "a b >= 1",
            "fnr: <= 1", "fnr:a:b <= 1", ":3 <= 1", "fnr :3 <= 1",
        ],
    )  # fmt: skip
    def test_what_cannot(self, text: str) -> None:
        with pytest.raises(InvalidInput, match="cannot be read") as caught:
            Constraint.parse(text)
        assert repr(text) in caught.value.message
        hint = caught.value.hint
        if hint.startswith("write: "):
            Constraint.parse(hint.removeprefix("write: ").removesuffix(", without a unit"))
        else:
            assert "baseline" in hint


def violation(text: str, **metrics: Any) -> float:
    return Constraint.parse(text).violation(METRICS | metrics, BASELINE)


class TestViolations:
    @pytest.mark.parametrize(
        ("text", "amount"),
        [
            ("accuracy >= 0.9", 0.0),
            ("accuracy >= 0.98", 0.02),
            ("accuracy <= 0.9", 0.06),
            ("accuracy >= baseline", 0.01),
            ("accuracy >= baseline - 0.005", 0.005),
            ("accuracy >= baseline * 0.5", 0.0),
            ("size_bytes <= baseline * 0.2", 200.0),
            ("latency_ms <= 1", 1.0),
            ("latency_ms.p90 <= baseline - 6", 0.5),
            ("speedup >= 4", 0.6),
        ],
    )
    def test_how_far_on_the_wrong_side(self, text: str, amount: float) -> None:
        assert violation(text) == pytest.approx(amount, abs=1e-12)
        assert (violation(text) == 0.0) == (amount == 0.0)

    @pytest.mark.parametrize("name", ["mAP@50", "mAP@0.5", "mAP@50-95", "box/iou", "word-error"])
    @pytest.mark.parametrize("devices", [{}, {"devices": ["board", "phone"]}])
    def test_of_a_metric_with_signs_in_its_name(self, name: str, devices: dict[str, Any]) -> None:
        constraint = Constraint.parse(f"{name} >= baseline - 0.1", ("board", "phone"))
        assert constraint.violation({name: 0.5} | devices, {name: 0.6} | devices) == 0.0
        assert constraint.violation({name: 0.4} | devices, {name: 0.6} | devices) == pytest.approx(0.1)
        assert metric_value({name: 0.5} | devices, name) == 0.5

    @pytest.mark.parametrize(
        "text",
        [
            "cosine >= 0", "cosine <= 1", "nan >= 0", "nan <= 0", "infinite >= 0", "infinite <= 0", "flag >= 0",
            "latency_ms.p99 <= 1000", "accuracy.p50 >= 0", "speedup >= baseline", "nan >= baseline",
        ],
    )  # fmt: skip
    def test_what_is_missing_never_holds(self, text: str) -> None:
        assert violation(text) == math.inf

    def test_a_factor_of_nothing_needs_no_baseline(self) -> None:
        assert violation("speedup >= baseline * 0") == 0.0

    @pytest.mark.parametrize(
        ("text", "on_the_bound", "beyond"),
        [
            ("accuracy >= baseline - 0.01", 0.96, 0.9599),
            ("accuracy >= baseline - 0.07", 0.9, 0.8999),
            ("accuracy <= baseline + 0.02", 0.99, 0.9901),
            ("accuracy >= baseline * 0.9", 0.873, 0.8729),
            ("size_bytes <= baseline * 0.35", 1400, 1401),
            ("size_bytes <= 1e9", 10**9, 10**9 + 1),
        ],
    )
    def test_exactly_on_a_decimal_bound_it_holds(self, text: str, on_the_bound: float, beyond: float) -> None:
        metric = text.split()[0]
        assert violation(text, **{metric: on_the_bound}) == 0.0
        assert violation(text, **{metric: beyond}) > 0.0

    def test_every_hundredth(self) -> None:
        """0.97 - 0.01 is not 0.96 in binary, nor are most others."""
        for hundredths in range(1, 100):
            for below in range(hundredths):
                constraint = Constraint.parse(f"accuracy >= baseline - 0.{below:02d}")
                value = float(f"0.{hundredths - below:02d}")
                assert constraint.violation({"accuracy": value}, {"accuracy": hundredths / 100}) == 0.0

    def test_one_figure_a_constraint(self) -> None:
        constraints = [Constraint.parse(text) for text in ("accuracy >= 0.9", "cosine >= 0.9", "size_bytes <= 900")]
        assert violations(constraints, METRICS, BASELINE) == (0.0, math.inf, 100.0)
        assert violations([], METRICS, BASELINE) == ()
