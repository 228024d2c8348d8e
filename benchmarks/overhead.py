"""What the controller costs: our own part of a trial, and the whole with Ray Tune, on the modelled device.

    python benchmarks/overhead.py [TRIALS]

To hold: our own part (asking, telling, writing to the database, the front) is at most 20 ms a trial.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks_path import ROOT
from rows import write_rows


def timed(method: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """The method, its wall time added to ``spent``."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            spent.append((time.perf_counter() - start) * 1e3)

    return call


def main(trials: int) -> None:
    """Runs a search and reports."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["PARETUNE_HOME"] = home
        from search.controller.controller import Controller
        from search.controller.submission import submit
        from search.controller.trial_feed import TrialFeed
        from search.devices.lookup import NO_AGENTS
        from search.job.profiles import profiles_of
        from search.job.spec import parse_job
        from search.store import Store

        asked: list[float] = []
        told: list[float] = []
        TrialFeed.next = timed(TrialFeed.next, asked)  # type: ignore[method-assign]
        TrialFeed.take = timed(TrialFeed.take, told)  # type: ignore[method-assign]
        job = parse_job(
            {
                "task": {"name": "digits", "options": {"depth": 20}},
                "devices": ["dry-run"],
                "budget": {"trials": trials},
            },
            folder=ROOT,
        )
        store = Store(f"sqlite:///{Path(home) / 'bench.db'}")
        job_id = submit(store, job, ROOT)
        start = time.perf_counter()
        Controller(store, job_id).run()
        total_s = time.perf_counter() - start
        finished = len(store.trials.of_job(job_id))
        store.close()
    own_ms = (sum(asked) + sum(told)) / finished
    rows = [{"call": "suggest", "ms": round(ms, 3)} for ms in asked] + [
        {"call": "complete", "ms": round(ms, 3)} for ms in told
    ]
    rows.append({"call": "whole search", "ms": round(total_s * 1e3, 1)})
    path = write_rows("overhead", profiles_of(job, NO_AGENTS)[0].profile, rows)
    print(
        f"{finished} trials: our own part {own_ms:.2f} ms a trial (median tell {statistics.median(told):.2f} ms, "
        f"worst {max(asked + told):.1f} ms); whole search {total_s:.1f} s, {total_s / finished * 1e3:.0f} ms a trial "
        f"with Ray's start; {path.name}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
