"""Artefacts in any storage that fsspec reaches by a URL, such as ``s3://bucket/prefix``."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from hwprofiles.errors import InvalidInput, NotFound, StorageError, first_line
from hwprofiles.folders import cache_folder, make_folder
from hwprofiles.installed import install_command
from search.artefacts.backend import Backend, StoredObject, object_name
from search.artefacts.copying import copy_unchanged, scratch_file
from search.artefacts.names import is_sha256

RENEW_S = 300.0
"""Younger objects are not written again to be renewed."""

_ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss"}
"""Protocols of object storage, where what is uploaded appears when it is complete. Elsewhere it is moved in place."""

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
"""Keys under which file systems say when a file was written."""

_TURN = threading.Lock()


class RemoteBackend(Backend):
    """Objects at a URL. Access keys and the like come from the environment, as the file system's package reads it."""

    def __init__(self, url: str) -> None:
        """Raises :class:`InvalidInput` for a URL that cannot be used; connects to nothing yet."""
        from fsspec.core import url_to_fs  # a large import, which a local folder does without

        self.place = re.sub(r"//[^/@]*@", "//", url)
        try:
            self._files, root = url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise InvalidInput(
                f"PARETUNE_ARTEFACTS: {first_line(error)}", f"for S3 install it with: {install_command('s3')}"
            ) from None
        except ValueError as error:
            raise InvalidInput(
                f"PARETUNE_ARTEFACTS: {first_line(error)}", "name a folder, or a URL such as s3://bucket/prefix"
            ) from None
        self._root = root.rstrip("/")
        protocols = self._files.protocol
        self._is_atomic = bool(_ATOMIC & {protocols} if isinstance(protocols, str) else _ATOMIC & {*protocols})

    def renew(self, sha256: str, size_bytes: int) -> bool:
        """See :meth:`Backend.renew`: writing is all that renews an object of most storage."""
        info = self._info(sha256)
        return info is not None and info["size"] == size_bytes and time.time() - _changed_at(info) < RENEW_S

    def write(self, sha256: str, source: Path) -> None:
        """See :meth:`Backend.write`."""
        with scratch_file(make_folder(cache_folder() / "artefacts")) as scratch:
            try:
                copy_unchanged(source, scratch, sha256)
            except OSError as error:
                raise StorageError(f"file {source} cannot be copied: {error.strerror}", "free some space") from None
            self._upload(sha256, scratch)

    def move_in(self, sha256: str, source: Path) -> None:
        """See :meth:`Backend.move_in`."""
        self._upload(sha256, source)
        source.unlink()

    def read(self, sha256: str, target: Path) -> None:
        """See :meth:`Backend.read`."""
        with self._errors():
            try:
                self._files.get_file(self._name(sha256), str(target))
            except FileNotFoundError:
                raise self.missing(sha256) from None

    def path(self, sha256: str) -> None:
        """See :meth:`Backend.path`."""

    def exists(self, sha256: str) -> bool:
        """See :meth:`Backend.exists`."""
        return self._info(sha256) is not None

    def delete(self, sha256: str) -> None:
        """See :meth:`Backend.delete`."""
        with self._errors(), suppress(FileNotFoundError):
            self._files.rm_file(self._name(sha256))

    def objects(self) -> Iterator[StoredObject]:
        """See :meth:`Backend.objects`."""
        with self._errors():
            try:
                listed = self._files.find(self._root, detail=True)
            except FileNotFoundError:
                return
        for name, info in listed.items():
            sha256 = name.rpartition("/")[2]
            if is_sha256(sha256) and name.endswith(object_name(sha256)):
                yield StoredObject(sha256, int(info["size"]), _changed_at(info))

    def _upload(self, sha256: str, source: Path) -> None:
        name = self._name(sha256)
        with self._errors():
            if self._is_atomic:
                self._files.put_file(str(source), name)
                return
            partial = f"{self._root}/partial-{secrets.token_hex(8)}"
            self._files.makedirs(name.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(source), partial)
            self._files.mv(partial, name)

    def _info(self, sha256: str) -> dict[str, Any] | None:
        with self._errors():
            try:
                info: dict[str, Any] = self._files.info(self._name(sha256))
            except FileNotFoundError:
                return None
        return info

    def _name(self, sha256: str) -> str:
        return f"{self._root}/{object_name(sha256)}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns all errors into ours. Threads take turns at file systems that are not asynchronous: some need it."""
        with nullcontext() if self._files.async_impl else _TURN:
            try:
                yield
            except NotFound:
                raise
            # Each file system's package raises errors of its own.
            except Exception as error:
                raise StorageError(
                    f"artefact store {self.place}: {first_line(error)}",
                    "check that it exists, and the access keys in the environment",
                ) from error


def _changed_at(info: dict[str, Any]) -> float:
    value = next((info[key] for key in _TIMES if info.get(key)), 0.0)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else float(value)
