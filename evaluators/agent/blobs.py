"""A cache of files by content on the agent's machine, so that each file is sent once."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from evaluators.agent.limits import DEFAULT_CACHE_BYTES
from evaluators.devices.request import FileRef
from hwprofiles import digest_of_file
from hwprofiles.errors import DeviceUnavailable, InvalidInput, ParetuneError
from hwprofiles.folders import make_folder

Fetch = Callable[[FileRef, int], Iterator[bytes]]
"""Fetches a file's content, starting at a byte."""


class Unanswered(ParetuneError):
    """Base of errors that end the work on a request without an answer: nobody waits for it, or its files cannot come.

    Raised by a :data:`Fetch`.
    """


class BlobCache:
    """A folder of files named by their SHA-256; the least recently used go when it exceeds ``max_bytes``.

    One agent per folder. A file is hashed before each use. A download that is cut off continues where it stopped.
    """

    def __init__(self, folder: Path, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._folder, self._max_bytes = make_folder(folder), max_bytes
        for leftover in self._folder.glob("*.partial"):
            leftover.unlink(missing_ok=True)

    def get(self, file: FileRef, fetch: Fetch, max_file_bytes: int, keep: Collection[str] = ()) -> Path:
        """Returns the path of a file, which is fetched if missing; ``keep`` names other files that must stay.

        Raises :class:`InvalidInput` for a file larger than ``max_file_bytes``, :class:`DeviceUnavailable` for one that
        arrives with wrong content or cannot be stored, and whatever ``fetch`` raises.
        """
        if file.size_bytes > max_file_bytes:
            raise InvalidInput(
                f"file {file.sha256[:12]} has {file.size_bytes} bytes, more than the {max_file_bytes} that are allowed",
                "start the agent with a larger --max-model-bytes",
            )
        path = self._folder / file.sha256
        if path.exists():
            if digest_of_file(path) == file.sha256:
                # The time of writing stays, so that checks remembered by it remain valid.
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
                return path
            path.unlink()
        partial = path.with_name(f"{file.sha256}.partial")
        try:
            self._write(partial, file, fetch, keep)
            if digest_of_file(partial) != file.sha256:
                raise _unlike(file, "content than its name says")
        except DeviceUnavailable:
            partial.unlink(missing_ok=True)
            raise
        return partial.replace(path)

    def _write(self, partial: Path, file: FileRef, fetch: Fetch, keep: Collection[str]) -> None:
        """Fetches the missing part of a file."""
        size_bytes = partial.stat().st_size if partial.exists() else 0
        written = size_bytes if size_bytes < file.size_bytes else 0
        self._make_room(file.size_bytes - written, {*keep, file.sha256, partial.name})
        try:
            with partial.open("ab" if written else "wb") as target:
                for chunk in fetch(file, written):
                    written += len(chunk)
                    if written > file.size_bytes:
                        break
                    target.write(chunk)
        except OSError as error:
            raise DeviceUnavailable(
                f"the agent's cache {self._folder} cannot be written: {error.strerror}",
                "free some space there, or start the agent with another --cache",
            ) from None
        if written != file.size_bytes:
            raise _unlike(file, "size than announced")

    def _make_room(self, wanted_bytes: int, keep: Collection[str]) -> None:
        files = []
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                files.append((path.stat().st_atime, path.stat().st_size, path))
        used = sum(size_bytes for _, size_bytes, _ in files)
        for _, size_bytes, path in sorted(files):
            if used + wanted_bytes <= self._max_bytes:
                break
            if path.name not in keep:
                with contextlib.suppress(OSError):
                    path.unlink()
                    used -= size_bytes
        if shutil.disk_usage(self._folder).free < wanted_bytes:
            raise DeviceUnavailable(
                f"the agent's cache {self._folder} has no room for {wanted_bytes} bytes",
                "free some space there, or start the agent with another --cache",
            )


def _unlike(file: FileRef, difference: str) -> DeviceUnavailable:
    return DeviceUnavailable(
        f"file {file.sha256[:12]} arrived with another {difference}", "check proxies between the agent and the server"
    )
