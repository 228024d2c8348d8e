"""Where artefacts lie: the operations that every kind of storage offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hwprofiles.errors import NotFound, StorageError


@dataclass(frozen=True)
class StoredObject:
    """An object as its storage lists it."""

    sha256: str
    size_bytes: int
    changed_at: float
    """When it was written or renewed, in seconds since 1970."""


class Backend(ABC):
    """Objects by SHA-256, each at ``ab/cd/SHA256`` below one place.

    An object appears whole or not at all, also if its writer is killed, and is never changed. Safe for several threads,
    processes and machines. Raises :class:`hwprofiles.errors.StorageError` for storage that cannot be used, and
    :class:`NotFound` for an object that does not exist, where nothing else is said.
    """

    place: str
    """The folder or URL, for messages; without a password."""

    @abstractmethod
    def renew(self, sha256: str, size_bytes: int) -> bool:
        """Makes an object's age start anew; False if there is none of this size, or it must be written again for
        that."""

    @abstractmethod
    def write(self, sha256: str, source: Path) -> None:
        """Stores a file's content, in place of any object of this name. Copies ``source`` before it is checked against
        ``sha256``, so a file that changes meanwhile raises :class:`StorageError`."""

    @abstractmethod
    def move_in(self, sha256: str, source: Path) -> None:
        """Stores a file of this name's content that the caller gives away: it is gone afterwards."""

    @abstractmethod
    def read(self, sha256: str, target: Path) -> None:
        """Writes an object's content to the file ``target``."""

    @abstractmethod
    def path(self, sha256: str) -> Path | None:
        """Returns the file that holds an object, if the objects are files of this machine; None otherwise."""

    @abstractmethod
    def exists(self, sha256: str) -> bool:
        """Returns whether there is an object of this name."""

    @abstractmethod
    def delete(self, sha256: str) -> None:
        """Deletes an object, if it exists."""

    @abstractmethod
    def objects(self) -> Iterator[StoredObject]:
        """Yields all objects, in no certain order."""

    def missing(self, sha256: str) -> NotFound:
        """Returns the error for an object that does not exist."""
        return NotFound(
            f"artefact {sha256[:12]} is not in {self.place}",
            "let PARETUNE_ARTEFACTS name the same storage on every machine, or submit the job again",
        )

    def damaged(self, sha256: str) -> StorageError:
        """Returns the error for an object whose content does not have its hash."""
        return StorageError(
            f"artefact {sha256[:12]} in {self.place} is damaged: its content has another hash",
            f"remove {object_name(sha256)} there, then submit the job again",
        )


def object_name(sha256: str) -> str:
    """Returns the path of an object below its backend's place.

    >>> object_name("abcdef")
    'ab/cd/abcdef'
    """
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"
