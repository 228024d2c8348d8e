"""How a search grows with the places of a cluster: trials that sleep, on four nodes that are started on this machine.

    python benchmarks/cluster.py [SECONDS]

To hold: with trials of 1 s, 8 places finish at least 0.9 times 8 as many trials a second as 1 place; our own part
(asking, telling, writing to the database, the front) is at most 20 ms a trial with 32 trials in flight. The nodes share
the cores of this machine: the driver competes with the processes of all places. Ray starts a process for
each CPU that the nodes declare, several seconds of a core each, so the nodes declare no more than a run needs, and a
rate counts only what finishes after the start.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks_path import ROOT
from rows import write_rows

sys.path.append(str(ROOT / "tests" / "builders"))

from ray_nodes import ray_nodes

PLACES = {1: 2, 2: 2, 4: 2, 8: 2, 32: 8}
"""Trials in flight, and the CPUs that each node declares."""
NODES = 4
RUN_S = 40.0
START_S = 20.0
"""At the start of a run, not counted: the processes of all places start."""
SLEEP_S = 1.0


def measure(address: str, places: int, run_s: float, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Runs a search with so many trials in flight; returns a row for each trial, with our own milliseconds of it.

    In a process of its own, since Ray knows one cluster a process.
    """
    os.environ.update(environment)
    from search.controller import trial_search, trial_worker
    from search.controller.cluster_place import Share
    from search.controller.controller import Controller
    from search.controller.submission import submit
    from search.controller.trial_feed import Answer, Order, TrialFeed
    from search.folders import default_database
    from search.job.spec import parse_job
    from search.store import Store

    class Sleeping(trial_worker.TrialWorker):
        def run(self, order: Order) -> Answer:
            time.sleep(SLEEP_S)
            return super().run(order)

    own: list[float] = []
    cpu: list[float] = []
    finished: list[float] = []

    class Timed(TrialFeed):
        def next(self) -> Order | None:
            start, start_cpu = time.perf_counter(), time.thread_time()
            order = super().next()
            if order is not None:
                own.append((time.perf_counter() - start) * 1e3)
                cpu.append((time.thread_time() - start_cpu) * 1e3)
            return order

        def take(self, order: Order, answer: Answer) -> None:
            start, start_cpu = time.perf_counter(), time.thread_time()
            super().take(order, answer)
            own[-1] += (time.perf_counter() - start) * 1e3
            cpu[-1] += (time.thread_time() - start_cpu) * 1e3
            finished.append(time.perf_counter())

    originals = trial_worker.TrialWorker, trial_search.TrialFeed, Share.most
    trial_worker.TrialWorker, trial_search.TrialFeed = Sleeping, Timed  # type: ignore[misc]
    Share.most = lambda _: places  # type: ignore[method-assign]
    trials = int(places * (START_S + run_s) / SLEEP_S)
    job = parse_job(
        {
            "task": {"name": "digits", "options": {"depth": 20}},
            "devices": ["dry-run"],
            "strategy": {"name": "random"},
            "budget": {"trials": trials, "batch": trials},
        },
        folder=ROOT,
    )
    try:
        with Store(default_database()) as store:
            Controller(store, submit(store, job, ROOT), ray_address=address).run()
    finally:
        trial_worker.TrialWorker, trial_search.TrialFeed, Share.most = originals  # type: ignore[misc, method-assign]
    return [
        {
            "places": places,
            "finished_s": round(at - finished[0], 4),
            "own_ms": round(ms, 3),
            "own_cpu_ms": round(busy, 3),
        }
        for at, ms, busy in zip(finished, own, cpu, strict=True)
    ]


def rate(rows: list[dict[str, Any]], places: int) -> float:
    """Trials a second while all places were at work: without the start, and without the last of each place."""
    times = [row["finished_s"] for row in rows if row["finished_s"] > START_S][:-places]
    return (len(times) - 1) / (times[-1] - times[0])


def main(run_s: float) -> None:
    """Measures every number of places, and reports."""
    rows: list[dict[str, Any]] = []
    first = 0.0
    for places, cpus in PLACES.items():
        with tempfile.TemporaryDirectory() as folder, ray_nodes(Path(folder)) as nodes:
            nodes.add("head", cpus=0)
            for number in range(NODES):
                nodes.add(f"node{number}", cpus=cpus)
            environment = {**nodes.environment, "PARETUNE_HOME": folder}
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                taken = process.submit(measure, nodes.address, places, run_s, environment).result()
        first = first or rate(taken, places)
        share = rate(taken, places) / places / first
        own_ms, cpu_ms = (statistics.mean(row[key] for row in taken) for key in ("own_ms", "own_cpu_ms"))
        print(
            f"{places} places: {rate(taken, places):.2f} trials a second, {share:.2f} of linear; our own part "
            f"{own_ms:.1f} ms a trial, {cpu_ms:.1f} ms of them on the processor",
            flush=True,
        )
        rows += taken
    from hwprofiles import find_device

    print(write_rows("cluster", find_device("dry-run"), rows).name)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else RUN_S)
