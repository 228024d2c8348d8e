"""Do measurements keep their order? 20 random precisions of the digits network, now and later under another load.

    python benchmarks/order.py            # the first time
    python benchmarks/order.py --again    # an hour later; compares

Each run writes one row a candidate. To hold: of the pairs of candidates whose intervals are disjoint in the first run
(at least half of all pairs), at least 98 % keep their order in the second. Kendall's tau is reported.
"""

from __future__ import annotations

import csv
import itertools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks_path import ROOT
from rows import RESULTS, write_rows
from scipy.stats import kendalltau

from evaluators.devices.device import LocalDevice
from evaluators.measuring.latency import LatencyRequest, Protocol
from hwprofiles.errors import CandidateError
from search.devices.lookup import NO_AGENTS
from search.job.devices import JobDevice
from search.job.profiles import profiles_of
from search.job.spec import load_job
from search.space.candidate import Candidate, Space
from search.trials.context import JobContext
from search.trials.workspace import Workspace

CANDIDATES = 20


def draw_samples(space: Space, count: int) -> list[Candidate]:
    """Different random candidates, the same ones every time."""
    rng = np.random.default_rng(0)
    found: dict[str, Candidate] = {}
    while len(found) < count:
        candidate = space.candidate({d.name: str(rng.choice(d.choices)) for d in space.decisions})
        found[candidate.digest] = candidate
    return list(found.values())


def measured(name: str) -> Path:
    """Measures every candidate, and writes the rows."""
    # The precision space of the first runtime: files for another would have to be measured there.
    job = load_job(ROOT / "examples" / "digits.yaml").model_copy(update={"space": {"precision": {}}})
    profile = profiles_of(job, NO_AGENTS)[0].profile
    workspace = Workspace(JobContext(job, str(ROOT), (JobDevice(job.labels[0], profile),)))
    model, sample = workspace.baseline_path, (workspace.model, workspace.sample)[1]
    device = LocalDevice(profile)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, candidate in enumerate(draw_samples(workspace.space(device), CANDIDATES)):
            built = workspace.build(candidate.decisions, Path(folder) / f"{number}.onnx")
            row = {"candidate": number, "sha256": built.sha256[:16], "at": int(time.time())}
            try:
                found = device.measure(LatencyRequest(model, built.path, sample, protocol=Protocol(), limit_s=300))
                low, high = found.ratio_ci95
                row |= {"ratio": round(found.ratio, 5), "low": round(low, 5), "high": round(high, 5)}
                row |= {"verdict": found.verdict, "health": found.health.verdict if found.health else "unknown"}
            except CandidateError as error:
                row |= {"ratio": "", "low": "", "high": "", "verdict": error.state, "health": ""}
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    device.close()
    return write_rows(name, profile, rows)


def measured_at(path: Path) -> int:
    """When a run ended, in seconds since 1970."""
    return max(int(row["at"]) for row in csv.DictReader(path.open()))


def compared(first: Path, second: Path) -> str:
    """The share of clearly different pairs that keep their order, and Kendall's tau."""
    runs = [{row["sha256"]: row for row in csv.DictReader(path.open())} for path in (first, second)]
    both = [sha256 for sha256 in runs[0] if all(run.get(sha256, {}).get("ratio") for run in runs)]
    one, other = ([{k: float(run[s][k]) for k in ("ratio", "low", "high")} for s in both] for run in runs)
    pairs = list(itertools.combinations(range(len(both)), 2))
    apart = [(i, j) for i, j in pairs if one[i]["high"] < one[j]["low"] or one[j]["high"] < one[i]["low"]]
    kept = sum((one[i]["ratio"] < one[j]["ratio"]) == (other[i]["ratio"] < other[j]["ratio"]) for i, j in apart)
    tau = kendalltau([row["ratio"] for row in one], [row["ratio"] for row in other]).statistic
    return (
        f"{len(both)} candidates; {len(apart)} of {len(pairs)} pairs apart in the first run; "
        f"{kept} of them ({kept / max(1, len(apart)):.1%}) keep their order; tau {tau:.3f}"
    )


if __name__ == "__main__":
    if "--again" in sys.argv:
        later = measured("order-later")
        earlier = max(RESULTS.glob("local-cpu-*/order-first.csv"), key=measured_at)
        print(compared(earlier, later))
    else:
        print(f"rows: {measured('order-first').relative_to(ROOT)}")
