"""Does a change of the code change results? The same jobs by this tree and by earlier commits.

    python benchmarks/unchanged.py REVISION...

Three jobs and three seeds on ``dry-run`` must give the same candidates, states and metrics; twenty candidates of a
convolutional network and of an encoder, built for a described device, must be the same bytes; and the database that an
earlier commit wrote must be shown by this tree as that commit showed it. Writes one row a comparison. About four
minutes for one revision. Needs git, and compares only commits that know the same job files.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks_path import ROOT
from rows import write_rows
from small_network import write_network

from hwprofiles import find_device

SEEDS = (0, 1, 2)
BUILT = 10
"""Candidates of each of the two models."""

VOLATILE = {
    "job_id", "candidate_id", "created_at", "started_at", "finished_at", "wall_s", "seconds", "at", "time_s", "ends_at",
    "preparing_s", "measuring_s", "database", "path", "model_path", "activity", "phase", "progress",
}  # fmt: skip
"""Keys whose values differ from run to run."""

Json = dict[str, Any]


def main(revisions: list[str]) -> None:
    """Runs every job in every tree and compares."""
    rows: list[Json] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = write_jobs(folder)
        ours = {job: run(ROOT, folder / "home-ours", path) for job, path in jobs.items()}
        for number, revision in enumerate(revisions):
            tree = folder / f"tree-{number}"
            subprocess.run(["git", "worktree", "add", "--detach", "--quiet", tree, revision], cwd=ROOT, check=True)
            try:
                home = folder / f"home-{number}"
                for job, path in jobs.items():
                    theirs = run(tree, home, path)
                    row = {"revision": revision, "job": job, "candidates": len(theirs["trials"])}
                    row["trials"] = theirs["trials"] == ours[job]["trials"]
                    row["front"] = contains(ours[job]["front"], theirs["front"])
                    shown = {command: show(ROOT, home, command, path.stem) for command in ("front", "status")}
                    kept = {command: show(tree, home, command, path.stem) for command in shown}
                    row["database"] = all(contains(shown[command], kept[command]) for command in shown)
                    rows.append(row)
                    print(row, file=sys.stderr, flush=True)
            finally:
                subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
    print(f"rows: {write_rows('unchanged', find_device('dry-run'), rows).relative_to(ROOT)}")
    if not all(row[part] for row in rows for part in ("trials", "front", "database")):
        sys.exit("results differ")


def write_jobs(folder: Path) -> dict[str, Path]:
    """The job files and what they need, by name."""
    np.savez(folder / "network.npz", **{name: np.stack([value[0]] * 16) for name, value in network(folder).items()})
    encoder = f"import pathlib, make_encoder; make_encoder.main(pathlib.Path({str(folder)!r}), steps=0, samples=16)"
    subprocess.run([sys.executable, "-c", encoder], check=True, cwd=ROOT / "examples")
    digits = {"name": "digits", "options": {"width": 8}}
    models = {name: {"name": "onnx", "options": {"model": f"{name}.onnx", "data": f"{name}.npz"}}
              for name in ("network", "encoder")}  # fmt: skip
    jobs: dict[str, Path] = {}

    def write(name: str, task: Json, device: str, strategy: str, seed: int, trials: int, **more: Any) -> None:
        job = {"version": 1, "name": name, "task": task, "devices": [device], "seed": seed,
               "strategy": {"name": strategy}, "budget": {"trials": trials}, **more}  # fmt: skip
        jobs[name] = folder / f"{name}.yaml"
        jobs[name].write_text(json.dumps(job))  # JSON is YAML

    for seed in SEEDS:
        write(f"digits-{seed}", digits, "dry-run", "nsga2", seed, 60)
        write(f"encoder-{seed}", models["encoder"], "dry-run", "random", seed, 40)
        write(f"pruned-{seed}", digits, "dry-run", "random", seed, 40, space={"precision": {}, "pruning": {}})
    for name, task in models.items():
        write(f"built-{name}", task, "raspberry-pi-5", "random", 0, BUILT)
    return jobs


def network(folder: Path) -> dict[str, Any]:
    """Writes the small network; returns one sample."""
    return dict(write_network(folder / "network.onnx"))


def run(tree: Path, home: Path, job: Path) -> Json:
    """What a job comes to in a tree: its trials as the database has them, and its front."""
    command(tree, home, "run", str(job))
    with sqlite3.connect(home / "paretune.db") as database:
        columns = "number, trials.digest, decisions, trials.state, metrics, artifact_sha256"
        query = f"SELECT {columns} FROM trials JOIN jobs USING (job_id) WHERE jobs.name = ? ORDER BY number"
        trials = database.execute(query, [job.stem]).fetchall()
    database.close()
    return {"trials": trials, "front": show(tree, home, "front", job.stem)}


def show(tree: Path, home: Path, name: str, job: str) -> Any:
    """A command's JSON, less what differs from run to run."""
    with sqlite3.connect(home / "paretune.db") as database:
        digests = dict(database.execute("SELECT candidate_id, digest FROM trials").fetchall())
    database.close()
    return steady(json.loads(command(tree, home, name, job)), digests)


def steady(document: Any, digests: dict[str, str]) -> Any:
    """A document without its volatile keys, and with the digests of candidates for their random ids."""
    if isinstance(document, dict):
        return {key: steady(value, digests) for key, value in document.items() if key not in VOLATILE}
    if isinstance(document, list):
        return [steady(value, digests) for value in document]
    return digests.get(document, document) if isinstance(document, str) else document


def contains(new: Any, old: Any) -> bool:
    """Whether a document has all that an earlier one has: keys may be added, none changed or taken away."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and contains(new[key], value) for key, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(contains, new, old))
    return bool(new == old)


def command(tree: Path, home: Path, *arguments: str) -> str:
    """What a command of the code in ``tree`` prints."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PARETUNE_HOME": str(home)}
    program = [sys.executable, "-m", "dashboards.main", *arguments, "--format", "json"]
    return subprocess.run(program, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main(sys.argv[1:])
