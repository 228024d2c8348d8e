"""Measures an exported file again on its device: latency in fresh processes, and secondary metrics."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.devices.evaluators import LatencyEvaluator
from evaluators.measuring.measurement import Measurement, combine_measurements
from evaluators.processes.sandbox_child import Progress
from hwprofiles.errors import UnhealthyMeasurement
from search.export.comparison import Outcome
from search.export.verdict import Evidence, judge
from search.store import TrialRow
from search.trials.device_evaluation import DeviceEvaluator

MEASUREMENTS = 3
"""Latency measurements of a receipt at most if the first ones do not confirm the front; all are pooled."""

PAUSE_S = 10.0
"""Between two measurements of a receipt, so that they are of two moments."""

_TIMED = LatencyEvaluator.metrics | LatencyEvaluator.sometimes
_UNKNOWN = "nothing here tells whether the machine was quiet"


def measure_latency(
    evaluator: DeviceEvaluator, path: Path, row: TrialRow, evidence: Evidence, wait_quiet_s: float, progress: Progress
) -> tuple[Measurement | None, int, Evidence]:
    """Measures latency until it confirms the front or time is up (seconds to minutes).

    Returns the pooled measurement (None if all intervals were too wide), the number of measurements, and the evidence
    with its figures.
    """
    ends_at = time.monotonic() + wait_quiet_s
    measured: Measurement | None = None
    times = 0
    while True:
        progress("latency in a fresh process")
        try:
            latest = evaluator.measure(path, row.decisions)
            measured, times = (latest if measured is None else combine_measurements(measured, latest)), times + 1
            evidence = _with_latency(evaluator, evidence, measured)
        except UnhealthyMeasurement as error:
            if measured is None:
                evidence = replace(evidence, missing=dict.fromkeys(_TIMED, error.message))
        left_s = ends_at - time.monotonic()
        outcome = _outcome(evidence, measured, simulated=row.simulated)
        if measured is not None and measured.healthy:
            more = times < MEASUREMENTS or (left_s > 0 and outcome is Outcome.INCONCLUSIVE)
        else:
            more = left_s > 0
        if outcome is Outcome.AGREES or not more:
            return measured, times, evidence
        progress("waiting for a quiet machine" if left_s > 0 else "waiting for another moment")
        time.sleep(min(PAUSE_S, left_s) if left_s > 0 else PAUSE_S)


def _with_latency(evaluator: DeviceEvaluator, evidence: Evidence, measured: Measurement) -> Evidence:
    health = "unknown" if measured.health is None else measured.health.verdict
    doubt = "" if measured.healthy else f"the machine was {health}" if health != "unknown" else _UNKNOWN
    return replace(evidence, measured={**evidence.measured, **evaluator.figures(measured)}, doubt=doubt, missing={})


def _outcome(evidence: Evidence, measured: Measurement | None, *, simulated: bool) -> Outcome:
    """Returns the outcome of the speed-up so far; if none was claimed (a modelled front), a healthy measurement
    agrees."""
    comparison = evidence.speed()
    if simulated or comparison is None:
        return Outcome.AGREES if measured is not None and measured.healthy else Outcome.INCONCLUSIVE
    return judge([comparison])[0].outcome


def measure_secondary(evaluator: DeviceEvaluator, path: Path, row: TrialRow) -> tuple[dict[str, Any], dict[str, str]]:
    """Measures memory, start-up and throughput; also returns the reasons for metrics that a busy machine prevented."""
    figures: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for names, evaluate in evaluator.secondary_measurements():
        try:
            figures |= evaluate(path, row.decisions)
        except UnhealthyMeasurement as error:
            missing |= dict.fromkeys(names, error.message)
    return figures, missing
