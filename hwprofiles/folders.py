"""The user's own folders, for every package."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from hwprofiles.errors import StorageError

if os.environ.get("PARETUNE_HOME"):  # children work in other folders, and are to find the same one
    os.environ["PARETUNE_HOME"] = str(Path(os.environ["PARETUNE_HOME"]).absolute())


def data_folder() -> Path:
    """The user's data folder: the default database, the exported candidates, the added devices. ``PARETUNE_HOME``
    moves it. Made where it is missing; raises :class:`StorageError` where it cannot be."""
    return made(Path(os.environ.get("PARETUNE_HOME") or platformdirs.user_data_path("paretune")))


def cache_folder() -> Path:
    """What can be made again: teachers, baselines, calibrations, device answers; each named by its digest."""
    home = os.environ.get("PARETUNE_HOME")
    return made(Path(home) / "cache" if home else platformdirs.user_cache_path("paretune"))


def devices_folder() -> Path:
    """The descriptions of the devices that the user added."""
    return data_folder() / "devices"


def made(folder: Path) -> Path:
    """The folder, made where it is missing; raises :class:`StorageError` where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"folder {folder} cannot be made: {error.strerror}", "set PARETUNE_HOME to a folder that can be written"
        ) from None
    return folder
