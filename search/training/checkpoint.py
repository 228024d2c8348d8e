"""Checkpoints of interrupted trainings on disk."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from hwprofiles.errors import StorageError
from search.folders import partial_path

FORMAT = 1


def save(path: Path, key: str, state: dict[str, Any]) -> None:
    """Writes tensors and plain data atomically. Raises :class:`StorageError` if the file cannot be written."""
    partial = partial_path(path)
    try:
        torch.save({"format": FORMAT, "key": key, "state": state}, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise StorageError(
            f"the checkpoint {path} cannot be written: {error}", "free disk space, or choose another folder"
        ) from None


def load(path: Path, key: str) -> dict[str, Any] | None:
    """Reads the state that :func:`save` wrote under ``key``, with tensors on the CPU; None if there is no file.

    Unpickles tensors and plain data only. Raises :class:`StorageError` if the file cannot be read or belongs to
    another training.
    """
    if not path.exists():
        return None
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise StorageError(
            f"the checkpoint {path} cannot be read: {reason}", "remove it to train from the start"
        ) from None
    if not isinstance(document, dict) or (document.get("format"), document.get("key")) != (FORMAT, key):
        raise StorageError(
            f"the checkpoint {path} belongs to another module, recipe or task", "remove it to train from the start"
        )
    state: dict[str, Any] = document["state"]
    return state
