"""The default job on models that nobody here made, beside what int8 by hand gives them.

    python benchmarks/strangers.py [--minutes M] [--encoder-minutes M] [NAME ...]

Fetches the models of ``stranger_models.py`` into the cache, runs ``paretune run`` on each as a newcomer would (a
default job of three minutes on this machine), then builds dynamic and static int8 with ONNX Runtime's own tools and
measures each with the same protocol. The encoder, whose shapes inference cannot know, gets five minutes on ONNX Runtime
alone and all settings of ``transformer.py``. One file of rows a model; name models to run them alone.

To hold: each job ends with a front within its minutes, and no setting beats it.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from against_hand import compare
from benchmarks_path import ROOT
from rows import write_rows
from stranger_models import ENCODER, STRANGERS, write_stranger

from search.folders import cache_folder, default_database
from search.store import Store


def main(names: list[str], minutes: float, encoder_minutes: float) -> None:
    """Searches, tries by hand, compares, one model after another."""
    logging.disable(logging.WARNING)
    folder = cache_folder() / "benchmarks" / "strangers"
    for name in names:
        write_stranger(name, folder)
        encoder = name == ENCODER
        allowed = encoder_minutes if encoder else minutes
        job = _write_job(name, folder, allowed, alone=encoder)
        start = time.monotonic()
        document = _run(job)
        seconds = time.monotonic() - start
        with Store(default_database()) as store:
            row = store.jobs.get(document["job_id"])
            sizes = {"heads": 12, "hidden": 384} if encoder else {"simple": True}
            comparison = compare(store, row.job_id, **sizes)
            profile = store.devices.profile(row.profile_digest)
        path = write_rows(f"strangers-{name}", profile, comparison.rows)
        trials = document.get("trials", {})
        print(
            f"{name}: {document['state']}, {len(document['front'])} on the front, {trials.get('done')} done and "
            f"{trials.get('failed')} failed, {seconds:.0f} s of {allowed * 60:.0f} s; "
            f"settings that beat the front: {comparison.better}; rows: {path.relative_to(ROOT)}",
            flush=True,
        )


def _write_job(name: str, folder: Path, minutes: float, *, alone: bool) -> Path:
    """The job file that a newcomer writes; ``alone`` keeps to the device's first runtime."""
    job: dict[str, Any] = {
        "version": 1, "name": name,
        "task": {"name": "onnx", "options": {"model": f"{name}.onnx", "data": f"{name}.npz"}},
        "devices": ["local-cpu"], "budget": {"trials": 200, "minutes": minutes},
    }  # fmt: skip
    if alone:
        job["space"] = {"precision": {}, "graph": {}}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(job))  # JSON is YAML
    return path


def _run(job: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "dashboards.main", "run", str(job), "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=[*STRANGERS, ENCODER])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--encoder-minutes", type=float, default=5.0)
    given = parser.parse_args()
    main(given.names, given.minutes, given.encoder_minutes)
