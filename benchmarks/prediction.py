"""Does the layer table rank candidates? Random precision candidates of the digits network, predicted and measured.

    python benchmarks/prediction.py [CANDIDATES]

Writes one row a candidate (30 unless told), and half as many others that only the correction is learnt from. To hold:
the plain sum ranks the candidates with a Kendall's tau of at least 0.8. The relative errors are reported, with and
without the correction.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks_path import ROOT
from rows import write_rows

from evaluators.devices.device import LocalDevice
from evaluators.measuring.latency import LatencyRequest, Protocol
from hwprofiles import find_device
from hwprofiles.errors import CandidateError
from search.job.devices import JobDevice
from search.job.spec import parse_job
from search.prediction.correction import Correction, accuracy
from search.prediction.predictor import Predictor
from search.prediction.tables import measure_layer_tables
from search.space.candidate import Candidate, Space
from search.trials.context import JobContext
from search.trials.workspace import Workspace

CANDIDATES = 30


def draw_samples(space: Space, count: int) -> list[Candidate]:
    """Different random candidates, neither the baseline nor another uniform assignment, the same ones every time."""
    rng = np.random.default_rng(1)
    uniform = {candidate.digest for candidate in space.uniform()}
    found: dict[str, Candidate] = {}
    while len(found) < count:
        candidate = space.candidate({d.name: str(rng.choice(d.choices)) for d in space.decisions})
        if candidate.digest not in uniform:
            found[candidate.digest] = candidate
    return list(found.values())


def main(count: int) -> None:
    """Predicts, measures, compares."""
    profile = find_device("local-cpu")
    job = parse_job({"task": {"name": "digits"}, "space": {"precision": {}}}, folder=Path())
    workspace = Workspace(JobContext(job, ".", (JobDevice(job.labels[0], profile),)))
    sample = workspace.sample
    device = LocalDevice(profile)
    space = workspace.space(device)
    started = time.monotonic()
    tables = measure_layer_tables(
        device, space, workspace.techniques, workspace.draft, sample, subject=workspace.digest, cache=workspace.cache,
        limit_s=900,
    )  # fmt: skip
    print(f"layer table made in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    predictor = Predictor(tables, space)
    rows: list[dict[str, Any]] = []
    sums, times = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, candidate in enumerate(draw_samples(space, count + count // 2)):
            built = workspace.build(candidate.decisions, Path(folder) / f"{number}.onnx")
            found = predictor.sum(candidate.decisions)
            if found is None:
                raise SystemExit(f"no prediction for {candidate.decisions}")
            try:
                measured = device.measure(
                    LatencyRequest(workspace.baseline_path, built.path, sample, protocol=Protocol(), limit_s=300)
                )
            except CandidateError as error:
                print(f"candidate {number}: {error.message}", file=sys.stderr, flush=True)
                continue
            low, high = measured.ratio_ci95
            sums.append(found)
            times.append(1 / measured.ratio)
            rows.append(
                {
                    "candidate": number,
                    "sha256": built.sha256[:16],
                    "role": "predicted" if number < count else "learnt from",
                    "ratio": round(measured.ratio, 5),
                    "low": round(low, 5),
                    "high": round(high, 5),
                    "verdict": measured.verdict,
                    "health": measured.health.verdict if measured.health else "",
                    "summed": round(1 / found.time, 5),
                    "entering": round(found.entering, 5),
                    "leaving": round(found.leaving, 5),
                }
            )
            print(rows[-1], file=sys.stderr, flush=True)
    device.close()
    ours = [place for place, row in enumerate(rows) if row["role"] == "predicted"]
    theirs = [place for place, row in enumerate(rows) if row["role"] != "predicted"]
    correction = Correction.fit([sums[place] for place in theirs], [times[place] for place in theirs])
    for place, row in enumerate(rows):
        row["corrected"] = round(1 / correction.time(sums[place]), 5) if place in ours else ""
    path = write_rows("prediction", profile, rows)
    truth = [times[place] for place in ours]
    for name, predicted in (
        ("plain sum", [sums[place].time for place in ours]),
        (f"corrected by {len(theirs)} others", [correction.time(sums[place]) for place in ours]),
    ):
        found_accuracy = accuracy(predicted, truth)
        error = found_accuracy["relative_error"]
        print(
            f"{name}: tau {found_accuracy['tau']:.3f} on {found_accuracy['n']} candidates, relative error "
            f"{error['median']:.2%} (median), {error['p90']:.2%} (90th percentile)"
        )
    print(f"rows: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CANDIDATES)
