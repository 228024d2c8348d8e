"""Who can talk to a search's Ray: its own processes, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment
from small_jobs import spec, write_classifier

from hwprofiles.errors import ClusterLost
from search.controller.process import LOST
from search.controller.ray_cluster import local_cluster
from search.controller.submission import submit
from search.job.spec import parse_job
from search.states import JobState
from search.store import Store, Submission, this_process

# A search in miniature, by a user who has imported Ray before: it says where its Ray listens, and what a worker
# knows of who may talk to it.
_SEARCH = """
import json, os
import psutil, ray
from hwprofiles.errors import InvalidInput
from search.controller.ray_cluster import local_cluster

NAMES = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_memory_monitor_refresh_ms"

@ray.remote
def told():
    return [os.environ.get(name) for name in NAMES]

if __name__ == "__main__":
    with local_cluster(1):
        told = ray.get(told.remote())
        own = psutil.Process()
        addresses = {
            connection.laddr.ip
            for process in (own, *own.children(recursive=True))
            for connection in process.net_connections("inet")
            if connection.status == "LISTEN"
        }
        try:
            with local_cluster(1):
                refused = ""
        except InvalidInput as error:
            refused = error.message
    print(json.dumps({"told": told, "refused": refused, "addresses": sorted(addresses)}))
"""


def test_ray_asks_for_a_token_and_listens_on_the_loopback_alone(tmp_path: Path) -> None:
    program = tmp_path / "search_in_miniature.py"
    program.write_text(_SEARCH)
    settings = os.environ | {
        "RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "everybody's", "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    done = subprocess.run([sys.executable, program], env=settings, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    mode, token, monitor_ms = found["told"]
    assert (mode, monitor_ms) == ("token", "0")
    assert len(token) == 64
    assert found["refused"] == "this process has joined a Ray cluster already"
    assert {address.removeprefix("::ffff:") for address in found["addresses"]} == {"127.0.0.1"}
    assert not (tmp_path / ".ray").exists()


def test_a_start_that_takes_too_long_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup.\nMore of that.")

    monkeypatch.setattr("ray.init", init)
    expected = r"^Ray did not start: The current node timed out during startup\.$"
    with pytest.raises(ClusterLost, match=expected) as caught, local_cluster(1):
        pass
    assert "too busy" in caught.value.hint


# A worker's controller whose database is away for a moment, while a trial ends and while one begins.
_DATABASE_AWAY = """
import sys
from hwprofiles.errors import StorageError
from search.controller.process import run_job
from search.store import Lease, Store
from search.store.trials import Trials

method, calls = getattr(Trials, sys.argv[1]), []

def away(*args, **named):
    calls.append(args)
    if len(calls) == 3:
        raise StorageError("the database is away")
    return method(*args, **named)

if __name__ == "__main__":
    setattr(Trials, sys.argv[1], away)
    with Store(sys.argv[2]) as store:
        sys.exit(run_job(store, Lease(sys.argv[3], int(sys.argv[4]))))
"""


@pytest.mark.parametrize("method", ["finish", "set_state"])
def test_a_database_that_is_away_for_a_moment_costs_a_retry(tmp_path: Path, home: Path, method: str) -> None:
    write_classifier(tmp_path)
    program = tmp_path / "controller.py"
    program.write_text(_DATABASE_AWAY)
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    with Store(url) as store:
        job = parse_job(spec(strategy={"name": "random"}, budget={"trials": 6}), folder=tmp_path)
        job_id = submit(store, job, tmp_path, Submission("ada"))
        _, lease = store.queue.take(this_process(), lambda row: True) or pytest.fail("nothing")
        command = [sys.executable, program, method, url, job_id, str(lease.epoch)]
        env = environment(home, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
        with subprocess.Popen([*map(str, command)], env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            errors = process.stderr.read().decode()  # stdin stays open: its end would hand the job back
        row = store.jobs.get(job_id)
    assert (process.returncode, row.state, row.error) == (LOST, JobState.RUNNING, None), errors
    assert "the database is away" in errors
