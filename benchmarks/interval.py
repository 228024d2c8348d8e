"""Is the interval honest? fp32 measured against itself while another process loads another core.

    python benchmarks/interval.py [TIMES]

Writes one row a measurement. To hold: of 40, at least 34 intervals contain 1.0, every ratio lies within 5 % of 1.0, and
the median half-width is at most 2 %.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks_path import ROOT
from rows import write_rows

from evaluators.devices.device import LocalDevice
from evaluators.measuring.latency import LatencyRequest, Protocol
from hwprofiles import find_device
from hwprofiles.probe import usable_cores
from search.job.devices import JobDevice
from search.job.spec import parse_job
from search.trials.context import JobContext
from search.trials.workspace import Workspace

LOAD = "import numpy as np\na = np.random.rand(512, 512)\nwhile True: a @ a"


def main(times: int) -> None:
    """Measures and reports."""
    profile = find_device("local-cpu")
    job = parse_job({"task": {"name": "digits"}}, folder=Path())
    order = JobContext(job, ".", (JobDevice(job.labels[0], profile),))
    space = Workspace(order)
    model, sample = space.baseline_path, (space.model, space.sample)[1]
    others = set(usable_cores()) - set(profile.cores)
    load = subprocess.Popen(
        [sys.executable, "-c", LOAD],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, others or set(profile.cores)),
    )
    device = LocalDevice(profile)
    rows = []
    try:
        for number in range(times):
            found = device.measure(LatencyRequest(model, model, sample, protocol=Protocol(), limit_s=300))
            low, high = found.ratio_ci95
            rows.append(
                {
                    "measurement": number,
                    "ratio": round(found.ratio, 6),
                    "low": round(low, 6),
                    "high": round(high, 6),
                    "half_width": round((high - low) / 2 / found.ratio, 6),
                    "holds_one": int(low <= 1.0 <= high),
                    "blocks": len(found.sessions),
                    "baseline_p50_ms": round(found.baseline_metrics()["latency_ms"]["p50"], 4),
                    "candidate_p50_ms": round(found.metrics()["latency_ms"]["p50"], 4),
                    "verdict": found.verdict,
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    finally:
        load.kill()
        device.close()
    path = write_rows("interval", profile, rows)
    held = sum(row["holds_one"] for row in rows)
    worst = max(abs(row["ratio"] - 1) for row in rows)
    width = statistics.median(row["half_width"] for row in rows)
    print(f"{held} of {times} intervals hold 1.0; worst ratio off by {worst:.2%}; median half-width {width:.2%}")
    print(f"rows: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
