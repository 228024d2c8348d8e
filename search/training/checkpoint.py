"""A training that was interrupted, on disk."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from hwprofiles.errors import StorageError
from search.folders import partial_path

FORMAT = 1


def save(path: Path, key: str, state: dict[str, Any]) -> None:
    """Writes tensors and plain data so that readers see them whole or not at all; raises :class:`StorageError`."""
    partial = partial_path(path)
    try:
        torch.save({"format": FORMAT, "key": key, "state": state}, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise StorageError(
            f"the checkpoint {path} cannot be written: {error}", "free space, or choose another folder"
        ) from None


def load(path: Path, key: str) -> dict[str, Any] | None:
    """What :func:`save` wrote there under ``key``, on the processor; None where there is no file.

    Nothing is unpickled but tensors and plain data. Raises :class:`StorageError` for a file that cannot be read, or
    that belongs to another training.
    """
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise StorageError(
            f"the checkpoint {path} cannot be read: {said}", "remove it to train from the start"
        ) from None
    if not isinstance(found, dict) or (found.get("format"), found.get("key")) != (FORMAT, key):
        raise StorageError(
            f"the checkpoint {path} belongs to another module, recipe or task", "remove it to train from the start"
        )
    state: dict[str, Any] = found["state"]
    return state
