"""How long answers take from a database with a million measurements, SQLite and PostgreSQL.

    python benchmarks/large_database.py [--database sqlite|postgresql] [--measurements N] [--candidates N]

One job has 100,000 candidates, the others 1,000 each. To hold: the front of the large job, and a page of 100 of its
candidates, in under 100 ms. Each answer is asked for 20 times, each time by a service that has read nothing yet. Takes
about half an hour and 15 GB of disk. Starts a PostgreSQL server of its own, with ``autovacuum`` on as it is by default.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks_path import ROOT
from rows import write_rows

sys.path.append(str(ROOT / "tests" / "builders"))

from large_rows import OBJECTIVES, add_job, insert_results, records, trials_of
from postgresql_server import PostgresServer

from dashboards.service.local import LocalService
from hwprofiles import Profile, find_device
from search.fronts.front import front_of
from search.fronts.objectives import Objective
from search.states import JobState
from search.store import Store, upgrade

Json = dict[str, Any]
Question = Callable[[Store], object]

LIMIT_MS = 100.0
REPEATS = 20
PAGE = 100
OTHERS = 1_000
"""Candidates of each further job."""


def main(kinds: list[str], measurements: int, candidates: int) -> int:
    """Writes a row for each answer; 1 if one took longer than :data:`LIMIT_MS`."""
    profile, late = find_device("local-cpu"), []
    for kind in kinds:
        with PLACES[kind]() as url:
            started = time.perf_counter()
            job_id = fill(url, profile, measurements, candidates)
            print(f"{kind}: filled in {time.perf_counter() - started:.0f} s", flush=True)
            rows = measure(kind, url, job_id, candidates)
        write_rows(f"large-database-{kind}", profile, rows)
        late += [row for row in rows if row["limited"] and float(row["median_ms"]) > LIMIT_MS]
    return int(bool(late))


@contextmanager
def on_sqlite() -> Iterator[str]:
    """Yields the URL of a new file."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/large.db"


@contextmanager
def on_postgresql() -> Iterator[str]:
    """Yields the URL of a new database on a server of its own."""
    server = PostgresServer("autovacuum=on", "max_wal_size=2GB")
    try:
        yield server.create("large")
    finally:
        server.close()


PLACES = {"sqlite": on_sqlite, "postgresql": on_postgresql}


def fill(url: str, profile: Profile, measurements: int, candidates: int) -> str:
    """Fills a database; returns the id of its large job."""
    upgrade(url)
    texts = itertools.cycle(records(profile))
    with Store(url) as store:
        lease = add_job(store, "large", profile)
        total = insert_results(url, trials_of(lease.job_id, candidates, seed=0), texts, each=2)
        started = time.perf_counter()
        rows = store.trials.of_job(lease.job_id)
        baseline = (store.jobs.get(lease.job_id).baseline or {})["metrics"]
        front = front_of(rows, [Objective(o["metric"], o["direction"]) for o in OBJECTIVES], [], baseline, final=True)
        size = f"{len(front.members)} members, {len(front.contenders)} contenders"
        print(f"front of {len(rows)}: {size}, computed in {time.perf_counter() - started:.1f} s", flush=True)
        store.fronts.add(lease, front.document)
        store.jobs.set_state(lease, JobState.DONE)
        store.jobs.release(lease)
        for number in itertools.count(1):
            if total >= measurements:
                break
            other = add_job(store, f"job {number}", profile)
            total += insert_results(url, trials_of(other.job_id, OTHERS, seed=number), texts)
            store.jobs.set_state(other, JobState.DONE)
            store.jobs.release(other)
    return lease.job_id


def questions(job_id: str, candidates: int) -> dict[str, tuple[bool, Question]]:
    """Returns what is asked, by name, and whether it must be answered within the limit."""

    def page(**options: Any) -> Question:
        return lambda store: LocalService(store).candidates(job_id, limit=PAGE, **options)

    return {
        "version of the job": (True, lambda store: store.jobs.version(job_id)),
        "status": (True, lambda store: LocalService(store).job(job_id)),
        "front": (True, lambda store: LocalService(store).front(job_id)),
        "first page of candidates": (True, page()),
        "page from the middle": (True, page(cursor=candidates // 2)),
        "last page first": (True, page(sort="-trial")),
        "first page of the failed": (True, page(state="failed")),
        "page of the failed from the middle": (True, page(state="failed", cursor=candidates // 2)),
        "page of a state that none has": (True, page(state="crashed")),
        "fastest first": (True, page(sort="-speedup")),
        "best cosine of the infeasible": (True, page(sort="-cosine", state="infeasible")),
        "fastest of the failed": (True, page(sort="-speedup", state="failed")),
        "a candidate": (True, lambda store: LocalService(store).candidate(f"{job_id}/{candidates // 2}")),
        "page of jobs": (False, lambda store: LocalService(store).jobs(limit=PAGE)),
    }


def measure(kind: str, url: str, job_id: str, candidates: int) -> list[Json]:
    """Asks each question several times; returns a row for each answer."""
    rows = []
    with Store(url) as store:
        for name, (limited, ask) in questions(job_id, candidates).items():
            times = [_ms(ask, store) for _ in range(REPEATS)]
            median = statistics.median(times)
            print(
                f"{kind:10} {name:36} median {median:8.1f} ms, first {times[0]:8.1f}, worst {max(times):8.1f}",
                flush=True,
            )
            rows += [
                {"database": kind, "question": name, "limited": limited, "repeat": number, "ms": f"{ms:.2f}",
                 "median_ms": f"{median:.2f}", "load": f"{os.getloadavg()[0]:.1f}"}
                for number, ms in enumerate(times)
            ]  # fmt: skip
    return rows


def _ms(ask: Question, store: Store) -> float:
    started = time.perf_counter()
    ask(store)
    return (time.perf_counter() - started) * 1e3


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", choices=PLACES, action="append", help="only this kind")
    parser.add_argument("--measurements", type=int, default=1_000_000)
    parser.add_argument("--candidates", type=int, default=100_000)
    chosen = parser.parse_args()
    sys.exit(main(chosen.database or list(PLACES), chosen.measurements, chosen.candidates))
