"""How many nodes one queue and store can serve: nodes that sleep instead of working, against the real tables.

python benchmarks/queue_load.py [SECONDS]

Each node takes a job, tries candidates that sleep, stores them and ends the job, as a worker and its controller do. A
share of the ideal below 1 says that the nodes waited for the database; the operations' times say which of them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rows import write_rows

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "builders")]

from databases import KINDS, Databases  # noqa: E402

from hwprofiles import find_device  # noqa: E402
from search.outcome import TrialOutcome  # noqa: E402
from search.space.candidate import Decision, Space  # noqa: E402
from search.states import JobState, TrialState  # noqa: E402
from search.store import Lease, Store, Submission, this_process  # noqa: E402

JOBS, USERS = 12_000, 20
"""At least 10,000 wait before each run: the runs before the last one end fewer than 2,000."""
NODES = (10, 100, 300, 1000)
TRIALS_A_JOB = 5
TRIAL_S = 10.0
RUN_S = 60.0
SPACE = Space(
    tuple(Decision(f"d{n}", ("a", "b"), "precision", target=f"d{n}", scope="layer") for n in range(3)), "queue load"
)


@dataclass
class Load:
    """Nodes at work on one store, and how long their operations take."""

    store: Store
    pool: ThreadPoolExecutor
    ends_at: float
    seconds: dict[str, list[float]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    async def call(self, name: str, function: Any, *arguments: Any, **named: Any) -> Any:
        """Calls the store in a thread; counts the time from the wish to the answer."""
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self.pool, lambda: function(*arguments, **named))
        self.seconds.setdefault(name, []).append(time.perf_counter() - began)
        return result

    async def run_node(self, delay_s: float) -> None:
        """Works on jobs until the time is over."""
        await asyncio.sleep(delay_s)
        while time.monotonic() < self.ends_at:
            taken = await self.call("take", self.store.queue.take, this_process())
            if taken is None:
                return
            _, lease = taken
            await self.run_job(lease)

    async def run_job(self, lease: Lease) -> None:
        """Tries candidates that sleep, and ends the job."""
        for number in range(TRIALS_A_JOB):
            choice = {f"d{bit}": "ab"[number >> bit & 1] for bit in range(3)}
            added = await self.call(
                "add", self.store.trials.add, lease, number, "random", True, [(number, SPACE.candidate(choice))]
            )
            await asyncio.sleep(TRIAL_S)
            if time.monotonic() > self.ends_at:
                self.leave(lease)
                return
            outcome = TrialOutcome(TrialState.DONE, metrics={"cosine": 0.99, "speedup": 2.0}, measurement={"n": 300})
            await self.call("finish", self.store.trials.finish, lease, added[0].candidate_id, outcome)
            await self.call("renew", self.store.jobs.renew, lease)
            self.done["trials"] += 1
        await self.call("end", self.store.jobs.set_state, lease, JobState.DONE)
        await self.call("release", self.store.jobs.release, lease)
        self.done["jobs"] += 1

    def leave(self, lease: Lease) -> None:
        """Ends the job of a node whose time is over: the next run starts with jobs that wait."""
        self.store.jobs.set_state(lease, JobState.CANCELLED)
        self.store.jobs.release(lease)


def fill(url: str) -> float:
    """Queues the jobs, of users with very different numbers of them; returns the seconds that it took."""
    began = time.perf_counter()
    with Store(url) as store:
        for number in range(JOBS):
            store.jobs.create(
                name=f"job-{number}", spec={"seed": number}, spec_folder="/", profile=find_device("dry-run"),
                submission=Submission(f"user-{min(USERS - 1, int(USERS * (number / JOBS) ** 2))}"),
            )  # fmt: skip
    return time.perf_counter() - began


def measure(kind: str, url: str, nodes: int, run_s: float) -> dict[str, Any]:
    """Runs so many nodes for a while, and returns a row."""
    with Store(url) as store, ThreadPoolExecutor(32) as pool:
        load = Load(store, pool, time.monotonic() + run_s)

        async def run() -> None:
            await asyncio.gather(*(load.run_node(TRIAL_S * number / nodes) for number in range(nodes)))

        cpu = time.process_time()
        asyncio.run(run())
        cpu = time.process_time() - cpu
    ideal = sum(int((run_s - TRIAL_S * number / nodes) / TRIAL_S) for number in range(nodes))
    row = {"database": kind, "nodes": nodes, "seconds": run_s, "trials": load.done["trials"], "ideal": ideal}
    row |= {"share_of_ideal": round(load.done["trials"] / ideal, 3), "own_cpu_share": round(cpu / run_s, 2)}
    for name in ("take", "add", "finish", "renew"):
        values = sorted(load.seconds.get(name, [0.0]))
        row |= {
            f"{name}_p50_ms": round(1e3 * values[len(values) // 2], 1),
            f"{name}_p99_ms": round(1e3 * values[int(0.99 * (len(values) - 1))], 1),
        }
    return row


def main() -> None:
    """Writes a row for each database and number of nodes."""
    run_s = float(sys.argv[1]) if len(sys.argv) > 1 else RUN_S
    rows = []
    with tempfile.TemporaryDirectory() as place:
        databases = Databases(Path(place))
        for kind in KINDS:
            url = databases.create(kind)
            submit_ms = 1e3 * fill(url) / JOBS
            for nodes in NODES:
                rows.append(measure(kind, url, nodes, run_s) | {"submit_ms": round(submit_ms, 2)})
                print(rows[-1], flush=True)
            databases.drop(url)
        databases.close()
    write_rows("queue_load", find_device("local-cpu"), rows)


if __name__ == "__main__":
    main()
