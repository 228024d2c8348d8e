"""Where Paretune keeps what outlives a command."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import platformdirs

from hwprofiles.errors import StorageError


def data_folder() -> Path:
    """The user's data folder: the default database and the exported candidates. ``PARETUNE_HOME`` moves it."""
    return _made(Path(os.environ.get("PARETUNE_HOME") or platformdirs.user_data_path("paretune")))


def cache_folder() -> Path:
    """What can be made again: teachers, baselines, calibrations, device answers; each named by its digest."""
    home = os.environ.get("PARETUNE_HOME")
    return _made(Path(home) / "cache" if home else platformdirs.user_cache_path("paretune"))


def job_folder(job_id: str) -> Path:
    """A job's own files: its candidates as exported."""
    return _made(data_folder() / "jobs" / job_id)


def default_database() -> str:
    """``PARETUNE_DB``, else an SQLite file in the data folder."""
    return os.environ.get("PARETUNE_DB") or f"sqlite:///{data_folder() / 'paretune.db'}"


def partial_path(path: Path) -> Path:
    """Where this process writes what :meth:`pathlib.Path.replace` then puts at ``path``, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}.partial{path.suffix}")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file that readers see whole or not at all, whoever else writes it at the same time."""
    partial = partial_path(path)
    partial.write_text(json.dumps(value))
    partial.replace(path)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"folder {folder} cannot be made: {error.strerror}", "set PARETUNE_HOME to a folder that can be written"
        ) from None
    return folder
