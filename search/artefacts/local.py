"""Artefacts in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hwprofiles.errors import StorageError
from hwprofiles.folders import make_folder, make_private
from search.artefacts.backend import Backend, StoredObject, object_name
from search.artefacts.copying import copy_unchanged, link_or_copy, scratch_file
from search.artefacts.names import is_sha256


class LocalBackend(Backend):
    """Files in a folder of this machine, or of one that several machines share; for their user alone, and read-only."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.place = folder, f"folder {folder}"

    def renew(self, sha256: str, size_bytes: int) -> bool:
        """See :meth:`Backend.renew`."""
        path = self.path(sha256)
        with self._errors():
            try:
                if path.stat().st_size != size_bytes:
                    return False
                os.utime(path)
            except FileNotFoundError:
                return False
        return True

    def write(self, sha256: str, source: Path) -> None:
        """See :meth:`Backend.write`."""
        with self._errors(), self._scratch(sha256) as scratch:
            copy_unchanged(source, scratch, sha256)
            self._publish(scratch, sha256)

    def move_in(self, sha256: str, source: Path) -> None:
        """See :meth:`Backend.move_in`."""
        with self._errors():
            with self._scratch(sha256) as scratch:
                link_or_copy(source, scratch)
                os.utime(scratch)
                self._publish(scratch, sha256)
            source.unlink()

    def read(self, sha256: str, target: Path) -> None:
        """See :meth:`Backend.read`."""
        with self._errors():
            try:
                link_or_copy(self.path(sha256), target)
            except FileNotFoundError:
                raise self.missing(sha256) from None

    def path(self, sha256: str) -> Path:
        """See :meth:`Backend.path`."""
        return self._folder / object_name(sha256)

    def exists(self, sha256: str) -> bool:
        """See :meth:`Backend.exists`."""
        return self.path(sha256).is_file()

    def delete(self, sha256: str) -> None:
        """See :meth:`Backend.delete`."""
        with self._errors():
            self.path(sha256).unlink(missing_ok=True)

    def objects(self) -> Iterator[StoredObject]:
        """See :meth:`Backend.objects`."""
        for path in self._folder.glob("??/??/*"):
            if is_sha256(path.name):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    stat = path.stat()
                    yield StoredObject(path.name, stat.st_size, stat.st_mtime)

    @contextmanager
    def _scratch(self, sha256: str) -> Iterator[Path]:
        make_private(self._folder)
        with scratch_file(make_folder(self.path(sha256).parent)) as scratch:
            yield scratch

    def _publish(self, scratch: Path, sha256: str) -> None:
        scratch.chmod(0o400)
        scratch.replace(self.path(sha256))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"{self.place}: {error.strerror or error}",
                "free some space there, or name another with PARETUNE_ARTEFACTS",
            ) from error
