"""Do formats found by the device's table of layers meet their target on the device?

    python benchmarks/fliqs_latency.py [WIDTH]

FLIQS with latency as its cost on the digits network, five targets and two seeds, each finalist measured end to end.
Writes a row a finalist. To hold: at least 8 of 10 lie within 15 % of their target. A quarter of an hour.
"""

from __future__ import annotations

import logging
import sys

from benchmarks_path import ROOT
from lines import Lines
from rows import write_rows

from hwprofiles import find_device
from search.controller.controller import Controller
from search.controller.submission import submit
from search.folders import default_database
from search.fronts.objectives import metric_interval, metric_value
from search.job.spec import parse_job
from search.states import JobState
from search.store import Store

TARGETS = (1.3, 1.6, 2.0, 2.4, 2.8)
SEEDS, WITHIN, WANTED = 2, 0.15, 8


def finished(store: Store, width: int, seed: int) -> str:
    """The job of a seed, run or gone on with."""
    name = f"fliqs-latency-{width}-{seed}"
    known = [job for job in store.jobs.all() if job.name == name]
    if known:
        job_id = known[0].job_id
    else:
        job = {
            "name": name, "seed": seed, "task": {"name": "digits", "options": {"width": width}},
            "space": {"formats": {"choices": ["int8"]}},
            "recovery": {"epochs": 6, "learning_rate": 0.002, "patience": None, "seed": seed},
            "strategy": {"name": "fliqs", "options": {"targets": list(TARGETS), "cost": "latency"}},
            "objectives": [{"metric": "accuracy", "direction": "max"}, {"metric": "speedup", "direction": "max"}],
        }  # fmt: skip
        job_id = submit(store, parse_job(job, folder=ROOT), ROOT)
    if store.jobs.get(job_id).state != JobState.DONE:
        Controller(store, job_id, Lines(name)).run()
    return job_id


def main(width: int) -> None:
    """Searches, compares, reports."""
    logging.disable(logging.WARNING)
    rows = []
    with Store(default_database()) as store:
        for seed in range(SEEDS):
            for trial in store.trials.of_job(finished(store, width, seed)):
                target = trial.decisions["formats"]
                if target == "fp32":
                    continue
                found, interval = metric_value(trial.metrics, "speedup"), metric_interval(trial.metrics, "speedup")
                low, high = interval or (None, None)
                rows.append(
                    {
                        "width": width, "seed": seed, "target": float(target), "state": trial.state.value,
                        "speedup": found, "low": low, "high": high,
                        "accuracy": metric_value(trial.metrics, "accuracy"),
                        "formats": " ".join(trial.metrics.get("formats", {}).values()),
                    }
                )  # fmt: skip
    path = write_rows(f"fliqs-latency-{width}", find_device("local-cpu"), rows)
    for row in rows:
        print(f"target {row['target']:.1f}, seed {row['seed']}: {row['speedup']}, {row['formats']}")
    near = sum(row["speedup"] is not None and abs(row["speedup"] / row["target"] - 1) <= WITHIN for row in rows)
    print(
        f"within {WITHIN:.0%} of the target: {near} of {len(rows)}; " + ("holds" if near >= WANTED else "does NOT hold")
    )
    print(f"rows: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64)
