"""The user's data and cache folders."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from hwprofiles.errors import StorageError

if os.environ.get("PARETUNE_HOME"):  # child processes may have another working directory
    os.environ["PARETUNE_HOME"] = str(Path(os.environ["PARETUNE_HOME"]).absolute())


def data_folder() -> Path:
    """Returns the user's data folder: the default database, exported candidates, added devices.

    ``PARETUNE_HOME`` overrides it. It is not created: what only looks leaves nothing behind.
    """
    home = os.environ.get("PARETUNE_HOME")
    folder = Path(home) if home else platformdirs.user_data_path("paretune")
    return make_private(folder) if folder.exists() and not home else folder


def cache_folder() -> Path:
    """Returns the user's cache folder: teachers, baselines, calibrations and device answers, named by digests."""
    home = os.environ.get("PARETUNE_HOME")
    return make_private(make_folder(Path(home)) / "cache" if home else platformdirs.user_cache_path("paretune"))


def devices_folder() -> Path:
    """Returns the folder of the device descriptions that the user added."""
    return data_folder() / "devices"


def make_folder(folder: Path) -> Path:
    """Creates a folder for its user alone, and missing parents too, unless it exists; returns it.

    Raises :class:`StorageError` on failure.
    """
    try:
        for missing in reversed([parent for parent in folder.parents if not parent.exists()]):
            missing.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"folder {folder} cannot be created: {error.strerror}", "set PARETUNE_HOME to a writable folder"
        ) from None
    return folder


def make_private(folder: Path) -> Path:
    """Creates a folder if it is missing and makes it accessible to its user alone; returns it.

    Models and data are private. A folder of another user is left as it is.
    """
    mode = make_folder(folder).stat().st_mode & 0o777
    if mode & 0o077:
        with suppress(OSError):
            folder.chmod(0o700)
    return folder
