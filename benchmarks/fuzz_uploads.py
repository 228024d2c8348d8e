"""Sends models and samples with faults to a server, and opens what it would accept as a job does.

python benchmarks/fuzz_uploads.py [JOBS] [SEED]

The files of each job are sent by REST to a server in a process of its own. What the check of submissions refuses is
submitted too, and the server must refuse it. What passes is opened in a sandbox, as the server and the job's processes
do, and may fail there in any way; one in :data:`SUBMITTED` is also submitted, which costs the server a sandbox. The
server must stay alive, answer no request with 5xx, and nothing may be written outside of the artefact store and the
cache.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rows import write_rows

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT), str(ROOT / "tests" / "builders")]

import httpx  # noqa: E402
from command_line import COMMAND, environment  # noqa: E402
from mutated_files import MODEL, SAMPLES, MutatedJob, mutated_job  # noqa: E402

from evaluators.processes.sandbox import Sandbox  # noqa: E402
from hwprofiles import find_device  # noqa: E402
from hwprofiles.errors import InvalidInput, ParetuneError  # noqa: E402
from search.artefacts.owned import OwnedArtefacts  # noqa: E402
from search.artefacts.store import ArtefactStore  # noqa: E402
from search.artefacts.submitted import check_submission  # noqa: E402
from search.folders import default_database  # noqa: E402
from search.permissions import LOCAL_USER  # noqa: E402
from search.store import Store  # noqa: E402
from search.tasks import check_files  # noqa: E402

JOBS, LIMIT_S = 10_000, 60.0
SUBMITTED = 25
WRITABLE = ("artefacts", "cache", "uploads")
"""Folders of a home in which files may come and go."""


@contextmanager
def serve(home: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """Runs a server; yields a client of it, and its process."""
    server = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], env=environment(home), cwd=home, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        address = next(line.split()[3] for line in server.stderr if line.startswith("Paretune is at "))
        with httpx.Client(base_url=address, timeout=60) as client:
            yield client, server
    finally:
        server.kill()
        server.wait()


def send(client: httpx.Client, data: bytes) -> tuple[str, list[int]]:
    """Sends a file; returns its SHA-256 and the status of each answer."""
    sha256 = hashlib.sha256(data).hexdigest()
    answer = client.post("/api/v1/artefacts", json={"sha256": sha256, "size_bytes": len(data)})
    statuses = [answer.status_code]
    if answer.status_code == 201 and answer.json()["upload_id"] is not None:
        answer = client.patch(answer.headers["location"], content=data, headers={"Upload-Offset": "0"})
        statuses.append(answer.status_code)
    return sha256, statuses


def judge(store: Store, job: MutatedJob, names: Mapping[str, str], sandbox: Sandbox) -> tuple[str, str]:
    """Returns what the check of the submission says, and what became of it in the sandbox."""
    artefacts = OwnedArtefacts(store, LOCAL_USER, ArtefactStore())
    try:
        check_submission(artefacts, job.task, names)
    except InvalidInput as error:
        return f"refused: {error.message[:100]}", ""
    folder = artefacts.folder(names)
    try:
        sandbox.call(check_files, "onnx", job.task["options"], folder, stage="training", limit_s=LIMIT_S)
    except ParetuneError as error:
        return "accepted", f"{type(error).__name__}: {error.message[:100]}"
    return "accepted", "opened"


def submit(client: httpx.Client, names: Mapping[str, str]) -> int:
    """Submits a job; returns the status of the answer."""
    options = {"data": SAMPLES, "devices": ["dry-run"], "trials": 1}
    return client.post("/api/v1/jobs", json={"target": MODEL, "options": options, "files": names}).status_code


def other_files(home: Path) -> dict[str, tuple[int, int]]:
    """Lists the size and time of each file that uploads must not touch."""
    paths = [path for path in home.parent.rglob("*") if path.is_file() and "paretune.db" not in path.name]
    outside = [path for path in paths if not any(path.is_relative_to(home / name) for name in WRITABLE)]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in outside}


def try_job(client: httpx.Client, store: Store, sandbox: Sandbox, number: int) -> dict[str, Any]:
    """Sends and submits a job; returns its row."""
    job, started = mutated_job(number), time.perf_counter()
    sent = {name: send(client, data) for name, data in job.files.items()}
    names = {name: sha256 for name, (sha256, _) in sent.items()}
    arrived = time.perf_counter()
    check, opened = judge(store, job, names, sandbox)
    checked = time.perf_counter()
    submitted = "" if check == "accepted" and number % SUBMITTED else submit(client, names)
    return {
        "seed": number, "changed": job.changed, "mutation": job.mutation, "size_bytes": len(job.files[job.changed]),
        "sent": " ".join(str(status) for _, statuses in sent.values() for status in statuses), "check": check,
        "sandbox": opened, "submitted": submitted, "send_ms": f"{(arrived - started) * 1e3:.1f}",
        "check_ms": f"{(checked - arrived) * 1e3:.1f}", "submit_ms": f"{(time.perf_counter() - checked) * 1e3:.1f}",
    }  # fmt: skip


def main() -> int:
    """Writes a row for each job; 1 if the server failed or something else was written."""
    jobs, seed = int((sys.argv[1:2] or [JOBS])[0]), int((sys.argv[2:3] or [0])[0])
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        home = Path(place) / "home"
        home.mkdir()
        (Path(place) / "bystander").write_text("stays")
        os.environ["PARETUNE_HOME"] = str(home)
        with serve(home) as (client, server), Store(default_database()) as store:
            sandbox = Sandbox()
            client.get("/healthz").raise_for_status()
            before = other_files(home)
            for number in range(seed, seed + jobs):
                rows.append(try_job(client, store, sandbox, number))
                if len(rows) % 500 == 0:
                    print(f"{len(rows)} jobs", flush=True)
            sandbox.close()
            healthy = client.get("/healthz").status_code == 200 and server.poll() is None
            untouched = other_files(home) == before
    path = write_rows("fuzz_uploads", find_device("local-cpu"), rows)
    return report(rows, healthy=healthy, untouched=untouched, path=path)


def report(rows: list[dict[str, Any]], *, healthy: bool, untouched: bool, path: Path) -> int:
    """Prints what happened; 1 if something did that must not."""
    statuses = [int(status) for row in rows for status in f"{row['sent']} {row['submitted']}".split()]
    failures = sum(status >= 500 for status in statuses)
    accepted = [row for row in rows if row["check"] == "accepted"]
    wrong = sum(row["submitted"] not in range(400, 500) for row in rows if row["check"] != "accepted")
    print(f"{len(rows)} jobs, {len(rows) - len(accepted)} refused, {len(accepted)} accepted")
    for outcome, count in Counter(row["sandbox"].partition(":")[0] for row in accepted).most_common():
        print(f"  {count:6} {outcome}")
    print(f"answers with 5xx: {failures}; refused files that the server took: {wrong}; server alive: {healthy}")
    print(f"other files untouched: {untouched}; rows: {path}")
    return int(bool(failures or wrong) or not healthy or not untouched)


if __name__ == "__main__":
    sys.exit(main())
