"""Three workers and 500 queued jobs of five users with very different demand: each job runs once, users take turns.

python benchmarks/fair_share.py [JOBS] [sqlite|postgresql]
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy
from rows import write_rows

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "builders")]

from command_line import COMMAND, environment  # noqa: E402
from databases import Databases  # noqa: E402
from small_jobs import write_job  # noqa: E402

from hwprofiles import find_device  # noqa: E402
from search.controller.submission import submit  # noqa: E402
from search.job.spec import load_job  # noqa: E402
from search.states import JobState  # noqa: E402
from search.store import Store, Submission  # noqa: E402

WORKERS = 3
DEMAND = {"a": 0.5, "b": 0.24, "c": 0.14, "d": 0.08, "e": 0.04}
"""Share of the jobs of each user."""


def submit_jobs(store: Store, folder: Path, jobs: int) -> dict[str, str]:
    """Queues the jobs, one user after the other; returns their users."""
    job = load_job(write_job(folder, budget={"trials": 1}))
    return {
        submit(store, job, folder, Submission(user)): user
        for user, share in DEMAND.items()
        for _ in range(round(share * jobs))
    }


@contextlib.contextmanager
def workers(url: str, folder: Path) -> Sequence[subprocess.Popen[bytes]]:
    """Runs workers as processes while the block runs."""
    env = environment(folder / "home", PARETUNE_DB=url)
    with (folder / "workers.log").open("ab") as log:
        running = [
            subprocess.Popen([*COMMAND, "worker"], env=env, stdout=log, stderr=log, start_new_session=True)
            for _ in range(WORKERS)
        ]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def wait_for_all(store: Store, jobs: int) -> None:
    """Waits until every job has ended."""
    while True:
        counts = store.counts.all().jobs
        done = sum(count for state, count in counts.items() if JobState(state).ended)
        print(f"{done} of {jobs} jobs have ended", flush=True)
        if done == jobs:
            return
        time.sleep(20)


def main() -> None:
    """Writes a row for each job, and says how the users fared."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    kind = sys.argv[2] if len(sys.argv) > 2 else "postgresql"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        databases = Databases(folder)
        url = databases.create(kind)
        with Store(url) as store:
            users = submit_jobs(store, folder, count)
            began = time.time()
            with workers(url, folder):
                wait_for_all(store, len(users))
            rows = sorted(store.jobs.all(), key=lambda row: (row.started_at, row.job_id))
            trials = {row.job_id: len(store.trials.of_job(row.job_id)) for row in rows}
            engine = sqlalchemy.create_engine(url)
            with engine.connect() as connection:
                epochs = dict(map(tuple, connection.execute(sqlalchemy.text("SELECT job_id, epoch FROM jobs"))))
            engine.dispose()
        databases.close()
    written = [
        {
            "order": order, "user": users[row.job_id], "state": row.state, "controllers": epochs[row.job_id],
            "trials": trials[row.job_id], "started_s": round(row.started_at.timestamp() - began, 2),
            "wall_s": round(row.wall_s, 2),
        }
        for order, row in enumerate(rows)
    ]  # fmt: skip
    write_rows("fair_share", find_device("local-cpu"), written)
    once = all((row["state"], row["controllers"], row["trials"]) == ("done", 1, 1) for row in written)
    print(f"every job ran exactly once: {once}")
    left, begun = list(DEMAND), 0
    while len(left) > 1:
        least = min(left, key=lambda user: DEMAND[user])
        until = max(row["order"] for row in written if row["user"] == least) + 1
        turns = Counter(row["user"] for row in written[begun:until] if row["user"] in left)
        print(f"starts {begun} to {until}: {dict(turns)}")
        left.remove(least)
        begun = until


if __name__ == "__main__":
    main()
