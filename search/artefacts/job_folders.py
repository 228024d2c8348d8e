"""Folders of jobs' files on this node, made from the artefact store."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from hwprofiles import digest_of, digest_of_file
from hwprofiles.errors import InvalidInput, StorageError
from hwprofiles.folders import cache_folder, make_folder, make_private
from search.artefacts.copying import link_or_copy
from search.artefacts.names import check_file_name, check_sha256
from search.artefacts.store import ArtefactStore

KEPT_S = 14 * 86400.0
"""Seconds for which a folder stays after a process last asked for it."""


class Source(Protocol):
    """Where files come from: an :class:`ArtefactStore`, or the object store of a Ray cluster."""

    def fetch(self, sha256: str) -> Path:
        """See :meth:`ArtefactStore.fetch`."""


def folder_of(files: Mapping[str, str] | None, folder: str) -> str:
    """Returns the folder of a job on this node: made of its files, else the ``folder`` that it was written in.

    Raises as :func:`materialise` does.
    """
    return folder if files is None else str(materialise(ArtefactStore(), files))


def materialise(artefacts: Source, files: Mapping[str, str]) -> Path:
    """Returns a read-only folder of this node that holds a job's files, by their names and SHA-256.

    Equal ``files`` share a folder, in whatever process; it appears whole. Every file is checked each time. Raises
    :class:`InvalidInput` for a name that would leave the folder, :class:`StorageError` and
    :class:`hwprofiles.errors.NotFound` as :meth:`ArtefactStore.fetch` does.
    """
    _check(files)
    folders = make_private(cache_folder() / "jobs")
    folder = folders / digest_of(dict(files))
    try:
        if folder.is_dir() and not _is_whole(folder, files):
            _remove(folder)
        if not folder.is_dir():
            _make(artefacts, folder, files)
            remove_unused(KEPT_S)
        os.utime(folder)
    except OSError as error:
        raise StorageError(
            f"cache folder {folders}: {error.strerror or error}", "free some space there, or set PARETUNE_HOME"
        ) from None
    return folder


def remove_unused(idle_s: float, *, dry_run: bool = False) -> list[Path]:
    """Removes the folders that no process of this node asked for within so many seconds, and returns them."""
    before = time.time() - idle_s
    idle = [folder for folder in (cache_folder() / "jobs").glob("*") if folder.stat().st_mtime < before]
    for folder in () if dry_run else idle:
        _remove(folder)
    return idle


def _check(files: Mapping[str, str]) -> None:
    names = sorted(map(check_file_name, files))
    for name, sha256 in files.items():
        check_sha256(sha256)
        if any(longer.startswith(f"{name}/") for longer in names):
            raise InvalidInput(f"{name!r} is a file and a folder of the job", "rename one of them")


def _is_whole(folder: Path, files: Mapping[str, str]) -> bool:
    with suppress(FileNotFoundError):
        return all(digest_of_file(folder / name) == sha256 for name, sha256 in files.items())
    return False


def _make(artefacts: Source, folder: Path, files: Mapping[str, str]) -> None:
    scratch = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    try:
        make_folder(scratch)
        for name, sha256 in files.items():
            link_or_copy(artefacts.fetch(sha256), make_folder((scratch / name).parent) / Path(name).name)
        for path in (scratch, *scratch.rglob("*")):
            path.chmod(0o500 if path.is_dir() else 0o400)
        with suppress(OSError):  # another process was first
            scratch.rename(folder)
    finally:
        _remove(scratch)


def _remove(folder: Path) -> None:
    """Removes a folder, if it exists: first its name, so that nobody sees half of it."""
    gone = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.gone")
    with suppress(FileNotFoundError):
        folder.rename(gone)
        for path in (gone, *gone.rglob("*")):
            if path.is_dir():
                path.chmod(0o700)
        shutil.rmtree(gone)
