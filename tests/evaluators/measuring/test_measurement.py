"""A measurement is a record: it keeps its samples, says only what they support, and mixes with no other device's."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluators.health import Health
from evaluators.measuring.measurement import Measurement, latency_figures, pair_ratio, pool_measurements


def record(
    *, ratio: float = 2.0, blocks: int = 8, runs: int = 5, per_session: int = 4, seed: int = 0, **fields: Any
) -> Measurement:
    """Times around 10 ms for the baseline; each session has luck of its own."""
    rng = np.random.default_rng(seed)
    sessions = [block // per_session for block in range(blocks)]
    luck = np.exp(0.05 * rng.standard_normal((2, max(sessions) + 1)))
    times = [
        [tuple(float(x) for x in ms * luck[side, session] * rng.uniform(0.99, 1.01, runs)) for session in sessions]
        for side, ms in enumerate((10.0, 10.0 / ratio))
    ]
    found, interval = pair_ratio(times[0], times[1], sessions)
    return replace(
        Measurement(
            "p" * 64, "onnxruntime", "1.0", tuple(times[0]), tuple(times[1]), tuple(sessions), found, interval, "stable"
        ),
        **fields,
    )


class TestFigures:
    @pytest.mark.parametrize(
        ("n", "percentiles"),
        [
            (63, []),
            (64, ["p90"]),
            (129, ["p90"]),
            (130, ["p90", "p95"]),
            (661, ["p90", "p95"]),
            (662, ["p90", "p95", "p99"]),
        ],
    )
    def test_a_percentile_needs_its_samples(self, n: int, percentiles: list[str]) -> None:
        figures = latency_figures([[float(ms)] for ms in range(n)], list(range(n)))
        assert [key for key in figures if key.startswith("p") and key != "p50"] == percentiles
        assert figures["n"] == n

    def test_by_hand(self) -> None:
        figures = latency_figures([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]], [0, 1])
        half = 12.706 * math.log(2.5) / 2  # of two sessions, whose medians are 2 and 5
        middle = math.sqrt(2 * 5)
        assert figures == {
            "p50": 3.5, "ci95": pytest.approx([middle * math.exp(-half), middle * math.exp(half)], rel=1e-3), "n": 6,
        }  # fmt: skip

    def test_percentiles_by_hand(self) -> None:
        figures = latency_figures([[float(ms)] for ms in range(1, 102)], list(range(101)))
        assert (figures["p50"], figures["p90"]) == (51.0, 91.0)

    def test_blocks_may_differ_in_length(self) -> None:
        figures = latency_figures([[1.0, 1.0, 1.0], [2.0, 2.0]], [0, 1])
        assert (figures["p50"], figures["n"]) == (1.0, 5)

    @pytest.mark.parametrize("seed", range(20))
    def test_the_median_is_in_its_interval(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        times = np.exp(0.2 * rng.standard_normal((40, 5)) ** 2 + 0.05 * rng.standard_normal((40, 1)))
        figures = latency_figures(times.tolist(), [block // 4 for block in range(40)])
        assert figures["ci95"][0] <= figures["p50"] <= figures["ci95"][1]

    def test_they_are_json(self) -> None:
        metrics = record(blocks=40).metrics()
        assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


class TestRatio:
    def test_by_hand(self) -> None:
        baseline = [[9.0, 10.0, 99.0], [12.0, 12.0, 12.0], [8.0, 8.0, 9.0]]
        candidate = [[5.0, 5.0, 1.0], [4.0, 4.0, 77.0], [4.0, 2.0, 9.0]]
        ratio, (low, high) = pair_ratio(baseline, candidate, [0, 1, 2])
        # Means of the faster two of three: 9.5 / 3, 12 / 4, 8 / 3.
        logs = [math.log(9.5 / 3), math.log(3), math.log(8 / 3)]
        assert ratio == pytest.approx(math.exp(np.mean(logs)))
        half = 4.5534 * float(np.std(logs, ddof=1)) / math.sqrt(3)  # Student's, 95.5 %, of three sessions
        assert (low, high) == pytest.approx((ratio * math.exp(-half), ratio * math.exp(half)), rel=1e-3)

    def test_sessions_are_the_observations(self) -> None:
        """Blocks of one session share its luck: six sessions are six observations, however many blocks they have."""
        ratios = [1.0] * 150 + [2.0] * 150
        baseline, candidate = [[ratio] for ratio in ratios], [[1.0]] * 300
        many = pair_ratio(baseline, candidate, [block // 50 for block in range(300)])
        few = pair_ratio(baseline[::50], candidate[::50], list(range(6)))
        assert (many[0], *many[1]) == pytest.approx((few[0], *few[1]))
        assert many[1][1] / many[1][0] > 1.5

    @pytest.mark.parametrize("slow", [3.0, 100.0])
    def test_what_disturbs_less_than_half_of_the_inferences_does_not_count(self, slow: float) -> None:
        disturbed = [[4.0, 4.0, 4.0 * slow, 4.0, 4.0 * slow]] * 8
        sessions = [0, 0, 1, 1, 2, 2, 3, 3]
        ratio, interval = pair_ratio(disturbed, [[2.0] * 5] * 8, sessions)
        assert (ratio, *interval) == pytest.approx((2.0, 2.0, 2.0))

    def test_the_metrics_of_a_record(self) -> None:
        measured = record(ratio=3.0)
        metrics = measured.metrics()
        assert metrics["speedup"] == {"ratio": measured.ratio, "ci95": list(measured.ratio_ci95)}
        assert metrics["latency_ms"] == latency_figures(measured.candidate_ms, measured.sessions)
        assert measured.baseline_metrics() == {"latency_ms": latency_figures(measured.baseline_ms, measured.sessions)}


class TestRoundTrip:
    @pytest.mark.parametrize("marks", [(), ("unpinned", "contended")])
    def test_through_json(self, marks: tuple[str, ...]) -> None:
        measured = record(marks=marks, verdict="unstable")
        again = Measurement.from_dict(json.loads(json.dumps(measured.to_dict(), allow_nan=False)))
        assert again == measured
        assert again.metrics() == measured.metrics()

    def test_with_health_energy_and_what_was_set_aside(self) -> None:
        measured = record(
            health=Health("drifted", {"drift_share": 0.2}, ("clock_mhz",), ("slower",)),
            quarantined=({"verdict": "contended", "reasons": ["load"], "ratio": 1.5, "ci95": [1.4, 1.6]},),
            energy_mj={"baseline": 50.0, "candidate": 20.0, "source": "rapl"},
            moment_ci95=(1.9, 2.1),
            order="bccbbcbc",
        )
        again = Measurement.from_dict(json.loads(json.dumps(measured.to_dict(), allow_nan=False)))
        assert again == measured
        assert again.metrics()["energy_mj"] == 20.0
        assert (again.moment_ci95, again.order) == ((1.9, 2.1), "bccbbcbc")
        assert again.baseline_metrics()["energy_mj"] == 50.0

    def test_records_of_earlier_versions_still_load(self) -> None:
        data = record().to_dict()
        for added in ("health", "quarantined", "energy_mj", "runtime", "moment_ci95", "order", "taken_at"):
            del data[added]
        again = Measurement.from_dict(json.loads(json.dumps(data)))
        assert (again.health, again.quarantined, again.energy_mj) == (None, (), None)
        assert not again.healthy
        assert "energy_mj" not in again.metrics()

    @pytest.mark.parametrize(
        "spoilt", [{"health": {"verdict": "fine", "signals": {}, "unknown": []}}, {"energy_mj": {"baseline": "much"}}]
    )
    def test_what_is_no_record(self, spoilt: dict[str, Any]) -> None:
        with pytest.raises((ValueError, KeyError)):
            Measurement.from_dict({**record().to_dict(), **spoilt})


class TestPooling:
    def test_all_samples_are_kept(self) -> None:
        first, second = record(seed=1), record(seed=2)
        both = pool_measurements(first, second)
        assert both.baseline_ms == first.baseline_ms + second.baseline_ms
        assert both.candidate_ms == first.candidate_ms + second.candidate_ms

    def test_sessions_stay_apart(self) -> None:
        both = pool_measurements(record(blocks=8, per_session=4), record(blocks=6, per_session=2))
        assert both.sessions == (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4)

    def test_the_ratio_is_that_of_all(self) -> None:
        first, second = record(ratio=2.0, seed=1), record(ratio=3.0, seed=2)
        both = pool_measurements(first, second)
        assert (both.ratio, both.ratio_ci95) == pair_ratio(both.baseline_ms, both.candidate_ms, both.sessions)
        assert first.ratio < both.ratio < second.ratio

    def test_more_of_the_same_is_narrower(self) -> None:
        firsts = [record(blocks=32, seed=seed) for seed in range(10)]
        alone = np.mean([np.ptp(first.ratio_ci95) for first in firsts])
        both = np.mean([np.ptp(pool_measurements(first, record(blocks=96, seed=99)).ratio_ci95) for first in firsts])
        assert both < 0.8 * alone

    def test_blocks_of_another_length(self) -> None:
        """A slower hour makes shorter blocks."""
        both = pool_measurements(record(runs=5), record(runs=2))
        assert {len(block) for block in both.candidate_ms} == {5, 2}
        assert both.metrics()["latency_ms"]["n"] == 8 * 5 + 8 * 2

    def test_three(self) -> None:
        three = pool_measurements(pool_measurements(record(seed=1), record(seed=2)), record(seed=3))
        assert three.sessions == tuple(session for session in range(6) for _ in range(4))

    def test_what_a_reader_should_know_of_either_is_said_of_both(self) -> None:
        both = pool_measurements(record(marks=("unpinned", "contended")), record(marks=("contended",)))
        assert both.marks == ("unpinned", "contended")

    def test_repeats_within_seconds_are_of_one_moment(self) -> None:
        """Three receipts in a row are narrower by their samples, not by moments that they were not measured at."""
        moments, at = [], 1e9
        pooled_one = record(repeat_share=0.05, taken_at=at)
        for seconds in (3.0, 6.0, 25.0, 30.0, 50.0):
            pooled_one = pool_measurements(pooled_one, record(repeat_share=0.05, taken_at=at + seconds))
            moments.append(pooled_one.moments)
        assert moments == [1, 1, 2, 2, 3]

    def test_of_unknown_moments_nothing_says_that_they_differ(self) -> None:
        assert pool_measurements(record(), record()).moments == 1
        assert pool_measurements(record(moments=3), record(moments=2)).moments == 3

    def test_two_devices_are_never_mixed(self) -> None:
        with pytest.raises(ValueError, match="two profiles"):
            pool_measurements(record(), record(profile_digest="q" * 64))
