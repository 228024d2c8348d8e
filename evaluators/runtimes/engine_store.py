"""Stores TensorRT's engines and timing caches: the only place from which engines are loaded.

An engine is native code. Each file contains its key and the SHA-256 of its content; a file that does not match both, or
that another user could have written, is not loaded.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

from hwprofiles.errors import StorageError
from hwprofiles.folders import cache_folder

_MAGIC = b"paretune engine store 1"
_HEADER_LINES = 3


class EngineStore:
    """Stores bytes under a key: a digest of everything they depend on. Safe in several threads and processes."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() / "engines" if folder is None else folder

    def path(self, kind: str, key: str) -> Path:
        """Returns the file of an entry; ``kind`` is ``engine``, ``timing`` or ``network``."""
        return self.folder / f"{key}.{kind}"

    def load(self, kind: str, key: str) -> bytes | None:
        """Loads what was saved under the key; None if there is nothing, or the file is not this user's own.

        A file that other users own or may write is not read.
        """
        try:
            descriptor = os.open(self.path(kind, key), os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or writable_by_others:
                return None
            parts = file.read().split(b"\n", _HEADER_LINES)
        if len(parts) <= _HEADER_LINES or parts[:2] != [_MAGIC, f"{kind} {key}".encode()]:
            return None
        content = parts[_HEADER_LINES]
        return content if hashlib.sha256(content).hexdigest().encode() == parts[2] else None

    def save(self, kind: str, key: str, content: bytes) -> None:
        """Saves ``content``, replacing an earlier entry. Raises :class:`StorageError` if it cannot be written."""
        path = self.path(kind, key)
        partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial")
        header = b"\n".join((_MAGIC, f"{kind} {key}".encode(), hashlib.sha256(content).hexdigest().encode(), b""))
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(header)
                file.write(content)
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StorageError(
                f"cannot store an engine in {self.folder}: {error.strerror}",
                "set PARETUNE_HOME to a writable folder",
            ) from None
