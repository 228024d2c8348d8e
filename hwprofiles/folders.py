"""The user's own folders, for every package."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from hwprofiles.errors import StorageError

if os.environ.get("PARETUNE_HOME"):  # children work in other folders, and are to find the same one
    os.environ["PARETUNE_HOME"] = str(Path(os.environ["PARETUNE_HOME"]).absolute())


def data_folder() -> Path:
    """The user's data folder: the default database, the exported candidates, the added devices. ``PARETUNE_HOME``
    moves it. Made where it is missing; raises :class:`StorageError` where it cannot be."""
    home = os.environ.get("PARETUNE_HOME")
    return made(Path(home)) if home else private(platformdirs.user_data_path("paretune"))


def cache_folder() -> Path:
    """What can be made again: teachers, baselines, calibrations, device answers; each named by its digest."""
    home = os.environ.get("PARETUNE_HOME")
    return private(made(Path(home)) / "cache" if home else platformdirs.user_cache_path("paretune"))


def devices_folder() -> Path:
    """The descriptions of the devices that the user added."""
    return data_folder() / "devices"


def made(folder: Path) -> Path:
    """The folder; where it is missing it is made, for its user alone. Raises :class:`StorageError` where it cannot
    be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"folder {folder} cannot be made: {error.strerror}", "set PARETUNE_HOME to a folder that can be written"
        ) from None
    return folder


def private(folder: Path) -> Path:
    """The folder, made where it is missing, and closed to all but its user: models and data are nobody else's. One that
    is another user's stays as it is."""
    mode = made(folder).stat().st_mode & 0o777
    if mode & 0o077:
        with suppress(OSError):
            folder.chmod(0o700)
    return folder
