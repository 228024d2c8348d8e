"""What a receipt comes to: confirmed only what was shown to be the same, disagreeing only what chance does not make."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from search.export.comparison import Exact, Outcome, Share
from search.export.verdict import Evidence, Verdict, judge, verdict_of
from search.fronts.objectives import Constraint, Objective
from search.fronts.views import View
from search.trials.scoring import Loss

ACCURACY = Loss(0.95, 0.96, (-0.02, 0.0), (0.92, 0.97))
SPEED = {"ratio": 2.0, "ci95": [1.96, 2.04]}
CLAIMED: dict[str, Any] = {
    "accuracy": 0.95, "speedup": SPEED, "size_bytes": 1000, "peak_memory_bytes": 20_000_000,
    "cold_start_ms": {"p50": 30.0, "ci95": [28.0, 32.0]},
    "latency_ms": {"p50": 2.0, "ci95": [1.96, 2.04], "p90": 2.2, "raw": {}},
    "throughput": {"ratio": 1.8, "ci95": [1.77, 1.83], "per_s": 100.0, "health": "healthy"}, "energy_mj": 5.0,
}  # fmt: skip
BASELINE = {"accuracy": 0.96, "peak_memory_bytes": 40_000_000, "latency_ms": {"p50": 4.0}}


def evidence(
    *,
    constraints: tuple[str, ...] = (),
    objectives: tuple[str, ...] = ("accuracy", "speedup"),
    claimed: dict[str, Any] | None = None,
    measured: dict[str, Any] | None = None,
    test: dict[str, Loss] | None = None,
    validation: dict[str, Loss] | None = None,
    **more: Any,
) -> Evidence:
    chosen = tuple(Objective(name, "min" if name in ("cold_start_ms", "latency_ms") else "max") for name in objectives)
    known = {**CLAIMED, **(claimed or {})}
    validation = validation or {"accuracy": ACCURACY}
    return Evidence(
        View(None, chosen, tuple(map(Constraint.parse, constraints))), known, {**CLAIMED, **(measured or {})}, BASELINE,
        validation, test or validation, **more,
    )  # fmt: skip


def verdict(**fields: Any) -> tuple[Verdict, str]:
    checks = judge(evidence(**fields).comparisons())
    assert json.dumps([check.to_dict() for check in checks], allow_nan=False)
    reasons = [check.reason for check in checks if check.outcome is not Outcome.AGREES]
    assert all(reasons)
    return verdict_of(checks, [], claims=True), "; ".join(reasons)


class TestSpeed:
    def test_the_same_is_confirmed(self) -> None:
        assert verdict() == (Verdict.CONFIRMED, "")

    def test_a_vague_claim_beside_a_vague_measurement_on_a_busy_machine(self) -> None:
        found, why = verdict(
            claimed={"speedup": {"ratio": 3.1, "ci95": [2.6, 3.7]}},
            measured={"speedup": {"ratio": 2.0, "ci95": [1.5, 2.62]}}, doubt="the machine was contended",
        )  # fmt: skip
        assert found is Verdict.INCONCLUSIVE
        assert "speedup is 2, the front said 3.1, but the machine was contended" in why

    def test_a_wide_interval_confirms_nothing_on_a_quiet_machine_either(self) -> None:
        found, why = verdict(measured={"speedup": {"ratio": 2.0, "ci95": [1.8, 2.2]}})
        assert found is Verdict.INCONCLUSIVE
        assert "wider than ±5%" in why
        assert verdict(claimed={"speedup": {"ratio": 2.0, "ci95": [1.7, 2.3]}})[0] is Verdict.INCONCLUSIVE

    def test_a_busy_machine_neither_confirms_nor_contradicts(self) -> None:
        for ratio in (2.0, 9.0):
            busy = {"speedup": {"ratio": ratio, "ci95": [0.99 * ratio, 1.01 * ratio]}}
            assert verdict(measured=busy, doubt="the machine was drifted")[0] is Verdict.INCONCLUSIVE

    @pytest.mark.parametrize("wide", [0.01, 0.05, 0.1, 0.2])
    def test_a_claim_ten_percent_too_fast_is_never_confirmed_however_wide_it_is(self, wide: float) -> None:
        claimed = {"speedup": {"ratio": 2.2, "ci95": [2.2 * (1 - wide), 2.2 * (1 + wide)]}}
        found, _ = verdict(claimed=claimed)
        assert found is (Verdict.DISAGREES if wide == 0.01 else Verdict.INCONCLUSIVE)

    @pytest.mark.parametrize("deviation", [0.005, 0.01, 0.015, 0.02, 0.03])
    def test_by_simulation(self, deviation: float) -> None:
        """Honest claims hardly ever disagree, those 10 % too fast are hardly ever confirmed; deviations of one figure,
        of which the interval is known."""
        rng = np.random.default_rng(0)
        honest, planted = [], []
        for ours, theirs in np.exp(rng.normal(0, deviation, (4000, 2))):
            for fast, found in ((1.0, honest), (1.1, planted)):
                claimed = fast * theirs
                share = Share("speedup", claimed, ours, _around(claimed, deviation), _around(ours, deviation))
                found.append(judge([share])[0].outcome)
        assert honest.count(Outcome.DISAGREES) <= 0.004 * len(honest)
        assert planted.count(Outcome.AGREES) <= 0.005 * len(planted)
        if deviation <= 0.01:
            assert honest.count(Outcome.AGREES) >= 0.9 * len(honest)
            assert planted.count(Outcome.DISAGREES) >= 0.9 * len(planted)


def _around(value: float, deviation: float) -> tuple[float, float]:
    return value * math.exp(-1.96 * deviation), value * math.exp(1.96 * deviation)


class TestOtherFigures:
    @pytest.mark.parametrize(
        ("objective", "measured"),
        [
            ("throughput", {"throughput": {"ratio": 1.4, "ci95": [1.38, 1.42], "health": "healthy"}}),
            ("peak_memory_bytes", {"peak_memory_bytes": 60_000_000}),
            ("cold_start_ms", {"cold_start_ms": {"p50": 60.0, "ci95": [58.0, 62.0]}}),
            ("latency_ms", {"latency_ms": {"p50": 2.3, "ci95": [2.27, 2.33], "raw": {}}}),
            ("latency_ms.p90", {"latency_ms": {"p50": 2.0, "ci95": [1.97, 2.03], "p90": 4.0, "raw": {}}}),
            ("energy_mj", {"energy_mj": 6.0}),
            ("size_bytes", {"size_bytes": 1001}),
        ],
    )
    def test_what_the_job_names_is_compared(self, objective: str, measured: dict[str, Any]) -> None:
        found, why = verdict(objectives=(objective,), measured=measured)
        assert found is Verdict.DISAGREES
        assert objective in why
        if objective != "size_bytes":
            assert verdict(measured=measured)[0] is Verdict.CONFIRMED  # nobody asked for it
        assert verdict(objectives=(objective,))[0] is Verdict.CONFIRMED

    @pytest.mark.parametrize("measured", [21_500_000, 24_000_000])
    def test_memory_between_its_errors_is_told(self, measured: int) -> None:
        found, _ = verdict(objectives=("peak_memory_bytes",), measured={"peak_memory_bytes": measured})
        assert found is Verdict.CONFIRMED  # a few megabytes are what an allocator takes at a time

    def test_throughput_has_a_machine_of_its_own(self) -> None:
        busy = {"throughput": {**CLAIMED["throughput"], "health": "contended"}}
        found, why = verdict(objectives=("throughput",), measured=busy)
        assert (found, "the machine was contended" in why) == (Verdict.INCONCLUSIVE, True)

    def test_what_could_not_be_measured_again(self) -> None:
        found, why = verdict(measured={"speedup": None}, missing={"speedup": "the interval is still wide"})
        assert (found, why) == (Verdict.INCONCLUSIVE, "speedup was not measured again: the interval is still wide")

    def test_milliseconds_of_an_earlier_version_are_of_another_hour(self) -> None:
        raw = {"latency_ms": {"p50": 9.0, "ci95": [8.9, 9.1]}}
        assert verdict(objectives=("latency_ms",), claimed=raw)[0] is Verdict.CONFIRMED

    def test_quality_on_the_validation_split_is_exact(self) -> None:
        found, why = verdict(claimed={"accuracy": 0.9500001})
        assert found is Verdict.DISAGREES
        assert "accuracy on the validation split is 0.95, the front said 0.9500001" in why
        assert Exact("x", 1.0, None).judge(3.0).outcome is Outcome.DISAGREES

    def test_formats_that_no_runtime_computes_in_have_no_speed(self) -> None:
        assert verdict(measured={"speedup": None}, timed=False)[0] is Verdict.CONFIRMED


class TestConstraints:
    def test_memory_at_three_times_its_bound(self) -> None:
        found, why = verdict(constraints=("peak_memory_bytes <= 20e6",), measured={"peak_memory_bytes": 60_000_000})
        assert found is Verdict.DISAGREES
        assert "constraint 'peak_memory_bytes <= 20e6' measured again: broken by" in why

    def test_a_relative_speed_within_its_error(self) -> None:
        slower = {"latency_ms": {"p50": 2.02, "ci95": [1.98, 2.06], "raw": {}}}
        found, why = verdict(constraints=("latency_ms <= baseline * 0.5",), measured=slower)
        assert found is Verdict.INCONCLUSIVE
        assert "'latency_ms <= baseline * 0.5' measured again: broken by 0.02, within the error" in why

    def test_a_quality_that_the_test_split_does_not_bear_out(self) -> None:
        validation = {"accuracy": Loss(0.95, 0.95, (-0.015, 0.015), (0.93, 0.97))}
        test = {"accuracy": Loss(0.93, 0.955, (-0.037, -0.013), (0.91, 0.95))}
        asked = {"constraints": ("accuracy >= baseline - 0.01",), "validation": validation, "test": test}
        found, why = verdict(**asked)
        assert found is Verdict.INCONCLUSIVE
        assert "constraint 'accuracy >= baseline - 0.01' on the test split: broken by 0.015" in why
        clearly = {"accuracy": Loss(0.93, 0.955, (-0.03, -0.02), (0.91, 0.95))}
        assert verdict(**{**asked, "test": clearly})[0] is Verdict.DISAGREES
        assert verdict(constraints=("accuracy >= 0.94",), validation=validation, test=test)[0] is Verdict.INCONCLUSIVE

    def test_one_that_the_front_said_to_be_broken_is_not_judged(self) -> None:
        assert verdict(constraints=("peak_memory_bytes <= 1e6",))[0] is Verdict.CONFIRMED

    def test_a_busy_machine_breaks_no_constraint(self) -> None:
        slow = {"latency_ms": {"p50": 9.0, "ci95": [8.9, 9.1], "raw": {}}}
        found, _ = verdict(constraints=("latency_ms <= 5",), measured=slow, doubt="the machine was contended")
        assert found is Verdict.INCONCLUSIVE

    def test_a_metric_with_signs_in_its_name(self) -> None:
        validation = {"mAP@50": Loss(0.7, 0.71, (-0.02, 0.0))}
        test = {"mAP@50": Loss(0.5, 0.7, (-0.22, -0.18))}
        constraint = Constraint.parse("mAP@50 >= 0.6", ())
        found = evidence(claimed={"mAP@50": 0.7}, validation=validation, test=test)
        asked = Evidence(
            View(None, (Objective("mAP@50", "max"),), (constraint,)),
            found.claimed,
            found.measured,
            {},
            validation,
            test,
        )
        outcomes = {check.about: check.outcome for check in judge(asked.comparisons())}
        assert outcomes["constraint 'mAP@50 >= 0.6' on the test split"] is Outcome.DISAGREES
        assert outcomes["mAP@50 on the test split"] is Outcome.DISAGREES


class TestSplits:
    @pytest.mark.parametrize("interval", [None, (-0.02, 0.0)])
    @pytest.mark.parametrize("fp32", [(0.62, 0.6), (0.62, 0.13)])
    def test_a_quality_that_is_not_there_on_unseen_samples(
        self, fp32: tuple[float, float], interval: tuple[float, float] | None
    ) -> None:
        validation, test = (Loss(value, base, interval) for value, base in zip((0.61, 0.12), fp32, strict=True))
        found, why = verdict(
            objectives=("map50",), claimed={"map50": 0.61}, validation={"map50": validation}, test={"map50": test}
        )
        assert found is (Verdict.DISAGREES if fp32[1] == 0.6 else Verdict.INCONCLUSIVE)
        assert "map50 is 0.12 on the test split, 0.61 on the validation split" in why

    def test_a_loss_that_chance_makes_is_none(self) -> None:
        test = {"accuracy": Loss(0.93, 0.96, (-0.05, -0.01), (0.9, 0.96))}
        assert verdict(test=test)[0] is Verdict.CONFIRMED

    def test_a_split_too_small_to_tell(self) -> None:
        test = {"accuracy": Loss(0.8, 0.9, (-0.3, 0.1), (0.6, 0.95))}
        assert verdict(test=test)[0] is Verdict.INCONCLUSIVE
        assert verdict(test=test, objectives=("speedup",))[0] is Verdict.CONFIRMED

    def test_honest_files_hardly_ever_disagree_by_the_test_split(self) -> None:
        from evaluators.measuring.statistics import difference_interval

        rng = np.random.default_rng(0)
        disagreeing = 0
        for _ in range(1000):
            losses = []
            for count in (100, 100):
                lost = rng.random(count) < 0.02
                ours, theirs = np.where(lost, 0.0, 1.0), np.ones(count)
                interval = difference_interval(ours, theirs)
                losses.append(Loss(float(ours.mean()), 1.0, interval, interval))
            checks = judge(
                evidence(validation={"top1": losses[0]}, test={"top1": losses[1]}, claimed={"top1": losses[0].value})
                .comparisons()
            )  # fmt: skip
            disagreeing += any(check.outcome is Outcome.DISAGREES for check in checks)
        assert disagreeing <= 2


def test_a_front_that_was_modelled_claims_nothing() -> None:
    checks = judge(evidence().comparisons())
    assert verdict_of(checks, [], claims=False) is Verdict.UNCLAIMED
    assert verdict_of(checks, ["another file"], claims=True) is Verdict.DISAGREES
