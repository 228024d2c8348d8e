"""Does the verdict say so when the measured core is not free? The digits network in int8 against fp32, 60 times.

    python benchmarks/health.py [TRIALS]

Half of the trials run on the machine as it is, which should be quiet; in the others another process on the measured
core works for 20 to 100 % of the time. Writes one row a trial. To hold: on the quiet machine the verdict is healthy,
with the other process it is contended, and no ratio that is published as healthy is more than 5 % off the quiet one,
which is the median of all that were measured without the other process. About a quarter of an hour.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks_path import ROOT
from rows import write_rows

from evaluators.devices.device import LocalDevice
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.tensors import Array
from hwprofiles import Profile
from search.devices.lookup import NO_AGENTS
from search.job.devices import JobDevice
from search.job.profiles import profiles_of
from search.job.spec import load_job
from search.trials.context import JobContext
from search.trials.workspace import Workspace

DUTIES = (20, 40, 60, 80, 100)
REFERENCES = 8
"""Measurements before the trials: of the quiet ratio, and so that the baseline has a history to drift from."""

PROTOCOL = replace(Protocol(), max_s=8.0, usable_width=math.inf)
"""As everywhere, but that hopeless cases are given up sooner and published all the same, to see what they would say."""

OFF = 0.05
SIGNALS = ("others_share", "wait_share", "elsewhere_share", "steal_share", "drift_share")

LOAD = """
import os, sys, time
import numpy as np
owner = os.getppid()
duty, period_s = float(sys.argv[1]) / 100, 0.1
a = np.random.rand(256, 256)
while os.getppid() == owner:  # a benchmark that is killed leaves no load behind
    start = time.perf_counter()
    while time.perf_counter() - start < duty * period_s:
        a @ a
    time.sleep(max(0.0, (1 - duty) * period_s))
"""


@contextlib.contextmanager
def loaded(profile: Profile, duty: int) -> Iterator[None]:
    """Another process on the measured cores for ``duty`` percent of the time; none for 0."""
    if duty == 0:
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD, str(duty)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, profile.cores),
    )
    try:
        time.sleep(1.0)
        yield
    finally:
        process.kill()
        process.wait()


def measured(device: LocalDevice, models: tuple[Path, Path], sample: Mapping[str, Array]) -> dict[str, Any]:
    """One measurement as a row."""
    start = time.monotonic()
    found = device.measure(LatencyRequest(*models, sample, protocol=PROTOCOL, limit_s=300))
    health, (low, high) = found.health, found.ratio_ci95
    if health is None:
        raise SystemExit("nobody looked at the machine")
    row: dict[str, Any] = {"ratio": round(found.ratio, 5), "low": round(low, 5), "high": round(high, 5)}
    row |= {"stability": found.verdict, "verdict": health.verdict, "set_aside": len(found.quarantined)}
    row |= {"baseline_p50_ms": round(found.baseline_metrics()["latency_ms"]["p50"], 4)}
    row |= {name: round(health.signals[name], 4) if name in health.signals else "" for name in SIGNALS}
    return row | {"reasons": "; ".join(health.reasons), "seconds": round(time.monotonic() - start, 1)}


def main(trials: int) -> None:
    """Measures and reports."""
    job = load_job(ROOT / "examples" / "digits.yaml").model_copy(update={"space": {"precision": {}}})
    profile = profiles_of(job, NO_AGENTS)[0].profile
    workspace = Workspace(JobContext(job, str(ROOT), (JobDevice(job.labels[0], profile),)))
    baseline, sample = workspace.baseline_path, (workspace.model, workspace.sample)[1]
    duties = [0] * (trials - trials // 2) + [DUTIES[number % len(DUTIES)] for number in range(trials // 2)]
    random.Random(0).shuffle(duties)
    device = LocalDevice(profile)
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            space = workspace.space(device)
            decisions = {one.name: "int8" if "int8" in one.choices else one.choices[0] for one in space.decisions}
            models = baseline, workspace.build(decisions, Path(folder) / "int8.onnx").path
            for number, duty in enumerate([*[0] * REFERENCES, *duties]):
                with loaded(profile, duty):
                    row = measured(device, models, sample)
                trial = number - REFERENCES if number >= REFERENCES else "reference"
                rows.append({"trial": trial, "load_percent": duty, **row})
                print(rows[-1], file=sys.stderr, flush=True)
    finally:
        device.close()
    quiet = statistics.median(row["ratio"] for row in rows if row["load_percent"] == 0)
    for row in rows:
        row |= {"quiet_ratio": quiet, "off": round(row["ratio"] / quiet - 1, 4)}
    path = write_rows("health", profile, rows)
    print(summary([row for row in rows if row["trial"] != "reference"]))
    print(f"rows: {path.relative_to(ROOT)}")


def summary(rows: list[dict[str, Any]]) -> str:
    """What the rows come to, in the words of what must hold."""
    quiet = [row["verdict"] for row in rows if row["load_percent"] == 0]
    busy = [row["verdict"] for row in rows if row["load_percent"] > 0]
    silent = [abs(row["off"]) for row in rows if row["verdict"] == "healthy"]
    wrong = sum(off > OFF for off in silent)
    outside = sum(
        not row["low"] <= row["quiet_ratio"] <= row["high"] for row in rows if row["verdict"] == "healthy"
    )  # fmt: skip
    return (
        f"quiet: {quiet.count('healthy')} of {len(quiet)} healthy; "
        f"measured core kept busy: {busy.count('contended')} of {len(busy)} contended; "
        f"{wrong} of {len(rows)} ratios off by more than {OFF:.0%} without a verdict that says so (the worst healthy "
        f"one by {max(silent, default=0.0):.1%}, the worst of all by {max(abs(row['off']) for row in rows):.1%}); "
        f"{outside} healthy intervals miss the quiet ratio"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
