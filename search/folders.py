"""Paretune's folders and files that outlive a command, and safe writing to them."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from hwprofiles.folders import cache_folder, data_folder, make_folder, make_private

__all__ = [
    "cache_folder",
    "data_folder",
    "default_database",
    "job_folder",
    "partial_path",
    "remove_job_folder",
    "write_json",
]


def job_folder(job_id: str) -> Path:
    """Returns the folder of a job's files, made if missing: candidates as ONNX files, logs."""
    return make_folder(make_private(data_folder() / "jobs") / job_id)


def remove_job_folder(job_id: str) -> None:
    """Removes the folder of a job's files on this machine, if it exists; what cannot be removed stays."""
    shutil.rmtree(data_folder() / "jobs" / job_id, ignore_errors=True)


def default_database() -> str:
    """URL of the database: ``PARETUNE_DB``, else an SQLite file in the data folder."""
    return os.environ.get("PARETUNE_DB") or f"sqlite:///{data_folder() / 'paretune.db'}"


def partial_path(path: Path) -> Path:
    """Makes an empty temporary file beside ``path``, readable by its user alone.

    Write it, then move it to ``path`` with :meth:`pathlib.Path.replace`, so that readers never see half a file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}.partial{path.suffix}")
    with suppress(OSError):  # the caller's write raises the same error
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
    return partial


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically, also if several processes write it at the same time."""
    partial = partial_path(path)
    partial.write_text(json.dumps(value))
    partial.replace(path)
