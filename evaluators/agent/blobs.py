"""Files by their content, kept on the agent's machine so that each travels once."""

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
from hwprofiles.errors import DeviceUnavailable, InvalidInput
from hwprofiles.folders import make_folder

Fetch = Callable[[FileRef, int], Iterator[bytes]]
"""Gives a file's content from a byte on."""


class BlobCache:
    """A folder of files named by their SHA-256; the longest unused go when it outgrows ``max_bytes``.

    One agent a folder. A file is hashed each time before it is used, so that what is opened is what was asked for. What
    came of one before the link was cut is kept, and the rest fetched when it is asked for again.
    """

    def __init__(self, folder: Path, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._folder, self._max_bytes = make_folder(folder), max_bytes
        for left in self._folder.glob("*.partial"):
            left.unlink(missing_ok=True)

    def get(self, file: FileRef, fetch: Fetch, max_file_bytes: int, keep: Collection[str] = ()) -> Path:
        """The file, fetched if need be; ``keep`` names others that must stay.

        Raises :class:`InvalidInput` for one that is larger than ``max_file_bytes``, :class:`DeviceUnavailable` for one
        that arrives as something else or cannot be kept, and what ``fetch`` raises.
        """
        if file.size_bytes > max_file_bytes:
            raise InvalidInput(
                f"file {file.sha256[:12]} has {file.size_bytes} bytes, more than the {max_file_bytes} that are allowed",
                "start the agent with a larger --max-model-bytes",
            )
        path = self._folder / file.sha256
        if path.exists():
            if digest_of_file(path) == file.sha256:
                # When it was written stays: whoever has looked at it need not look again.
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
        """Fetches what is missing of a file."""
        found = partial.stat().st_size if partial.exists() else 0
        written = found if found < file.size_bytes else 0
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
        found = []
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                found.append((path.stat().st_atime, path.stat().st_size, path))
        used = sum(size_bytes for _, size_bytes, _ in found)
        for _, size_bytes, path in sorted(found):
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


def _unlike(file: FileRef, what: str) -> DeviceUnavailable:
    return DeviceUnavailable(
        f"file {file.sha256[:12]} arrived with another {what}", "look for what lies between the agent and the server"
    )
