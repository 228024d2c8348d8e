"""The files of a backup, in a folder or in a tar file."""

from __future__ import annotations

import os
import shutil
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from hwprofiles.errors import InvalidInput
from hwprofiles.folders import make_folder

TAR = ".tar"
_HINT = "name a folder or file made with: paretune backup"


class BackupWriter(ABC):
    """Takes the files of a backup, by their names in it."""

    @abstractmethod
    def add(self, name: str, path: Path) -> None:
        """Adds a file that stays as it is."""


class BackupReader(ABC):
    """Gives the files of a backup, by their names in it; raises :class:`InvalidInput` for one that is not there."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Opens a file."""

    def copy(self, name: str, target: Path) -> None:
        """Copies a file into a new one, for its user alone."""
        with self.open(name) as source:
            descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as copy:
                shutil.copyfileobj(source, copy)

    def missing(self, name: str) -> InvalidInput:
        """Returns the error for a file that is not there."""
        return InvalidInput(f"{self.place} is no backup, or not whole: it has no {name}", _HINT)


@contextmanager
def new_backup(output: Path) -> Iterator[BackupWriter]:
    """Makes a backup that appears whole at the end of the block: a tar file if its name ends so, else a folder."""
    partial = output.with_name(f".{output.name}.partial")
    try:
        if output.suffix == TAR:
            descriptor = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
                yield _TarWriter(archive)
        else:
            yield _FolderWriter(make_folder(partial))
        partial.rename(output)
    finally:
        partial.unlink(missing_ok=True) if output.suffix == TAR else shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def open_backup(place: Path) -> Iterator[BackupReader]:
    """Opens a backup; raises :class:`InvalidInput` for what is none."""
    if place.is_dir():
        yield _FolderReader(place)
        return
    try:
        archive = tarfile.open(place, "r:")  # noqa: SIM115 - closed below
    except (OSError, tarfile.TarError):
        raise InvalidInput(f"{place} is no folder and no tar file", _HINT) from None
    with archive:
        yield _TarReader(place, archive)


class _FolderWriter(BackupWriter):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, path: Path) -> None:
        target = make_folder((self._folder / name).parent) / Path(name).name
        target.touch(0o600)
        shutil.copyfile(path, target)


class _TarWriter(BackupWriter):
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, name: str, path: Path) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = path.stat().st_size, int(path.stat().st_mtime), 0o600
        with path.open("rb") as file:
            self._archive.addfile(member, file)


class _FolderReader(BackupReader):
    def open(self, name: str) -> IO[bytes]:
        try:
            return (self.place / name).open("rb")
        except FileNotFoundError:
            raise self.missing(name) from None


class _TarReader(BackupReader):
    """Reads members by name, and extracts nothing."""

    def __init__(self, place: Path, archive: tarfile.TarFile) -> None:
        super().__init__(place)
        self._archive = archive

    def open(self, name: str) -> IO[bytes]:
        try:
            file = self._archive.extractfile(name)
        except (KeyError, tarfile.TarError):
            file = None
        if file is None:
            raise self.missing(name)
        return file
