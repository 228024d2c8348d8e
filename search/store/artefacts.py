"""Users' artefacts in the store: who put which file, what they use, and what they are sending."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, text, update

from hwprofiles.errors import NotFound
from search.store.columns import utc_now
from search.store.errors import OverQuota
from search.store.models import Artefact, ExportRequest, Job, Upload
from search.store.transactions import Transactions


@dataclass(frozen=True)
class UploadRow:
    """A file that a user is sending, as stored."""

    upload_id: str
    owner: str
    sha256: str
    """The announced SHA-256; checked once everything has arrived."""
    size_bytes: int
    changed_at: datetime


_UPLOAD = [getattr(Upload, field.name) for field in fields(UploadRow)]


class Artefacts:
    """The store's part about artefacts; each method is a transaction.

    A user has a file once they put it, however many others have the same one. The files themselves lie elsewhere: a
    row is written before its file is, and removed with it, so that no file is without a row. Removing one and putting
    it again exclude each other.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def claim(self, owner: str, sha256: str, size_bytes: int, quota_bytes: float) -> None:
        """Stores that a user has a file and uses it now; raises :class:`OverQuota` if they may have no more."""
        with self._transactions.writing() as connection:
            _lock(connection)
            if not _use(connection, owner, sha256):
                _check_quota(connection, owner, size_bytes, quota_bytes)
                _add(connection, owner, sha256, size_bytes)

    def share(self, owner: str, names: Collection[str], quota_bytes: float) -> None:
        """Stores that a user has files that somebody has, by SHA-256; raises as :meth:`claim` does."""
        with self._transactions.writing() as connection:
            _lock(connection)
            for sha256 in dict.fromkeys(names):
                sizes = select(Artefact.size_bytes).where(Artefact.sha256 == sha256).limit(1)
                size_bytes = connection.execute(sizes).scalar_one_or_none()
                if size_bytes is not None and not _use(connection, owner, sha256):
                    _check_quota(connection, owner, size_bytes, quota_bytes)
                    _add(connection, owner, sha256, size_bytes)

    def renew(self, owner: str, names: Collection[str]) -> list[str]:
        """Stores that a user uses files now, by SHA-256; returns those that they do not have."""
        with self._transactions.writing() as connection:
            _lock(connection)
            return [sha256 for sha256 in dict.fromkeys(names) if not _use(connection, owner, sha256)]

    def bytes_of(self, owner: str) -> int:
        """Counts the bytes of a user's files and of those that they are sending."""
        with self._transactions.reading() as connection:
            return _bytes_of(connection, owner)

    # Uploads

    def begin(self, owner: str, sha256: str, size_bytes: int, quota_bytes: float, most_open: int) -> UploadRow:
        """Stores that a user is sending a file; the same upload as before if they are already.

        Raises :class:`OverQuota` if they may have no more, or are sending ``most_open`` files.
        """
        with self._transactions.writing() as connection:
            _lock(connection)
            query = select(*_UPLOAD).where(Upload.owner == owner).order_by(Upload.changed_at)
            rows = [UploadRow(*columns) for columns in connection.execute(query)]
            for row in rows:
                if (row.sha256, row.size_bytes) == (sha256, size_bytes):
                    return row
            if len(rows) >= most_open:
                raise OverQuota(
                    f"{owner} is sending {len(rows)} files, the most at once", "finish or delete one of them"
                )
            _check_quota(connection, owner, size_bytes, quota_bytes)
            row = UploadRow(secrets.token_hex(16), owner, sha256, size_bytes, utc_now())
            connection.execute(insert(Upload), {field.name: getattr(row, field.name) for field in fields(row)})
        return row

    def upload(self, owner: str, upload_id: str) -> UploadRow:
        """Returns a user's upload; raises :class:`NotFound`."""
        with self._transactions.reading() as connection:
            query = select(*_UPLOAD).where(Upload.upload_id == upload_id, Upload.owner == owner)
            columns = connection.execute(query).one_or_none()
        if columns is None:
            raise NotFound(f"there is no upload {upload_id[:40]!r}", "announce the file again")
        return UploadRow(*columns)

    def note_part(self, upload_id: str) -> None:
        """Stores that a part of a file has arrived now."""
        with self._transactions.writing() as connection:
            connection.execute(update(Upload).where(Upload.upload_id == upload_id), {"changed_at": utc_now()})

    def complete(self, upload: UploadRow) -> None:
        """Stores that a user has a file whose last part has arrived; it is not counted again for their quota."""
        with self._transactions.writing() as connection:
            _lock(connection)
            if not _use(connection, upload.owner, upload.sha256):
                _add(connection, upload.owner, upload.sha256, upload.size_bytes)

    def end_upload(self, upload_id: str) -> None:
        """Forgets an upload."""
        with self._transactions.writing() as connection:
            connection.execute(delete(Upload).where(Upload.upload_id == upload_id))

    def idle_uploads(self, idle_s: float) -> list[str]:
        """Returns the uploads of which nothing has arrived for so many seconds."""
        before = utc_now() - timedelta(seconds=idle_s)
        with self._transactions.reading() as connection:
            query = select(Upload.upload_id).where(Upload.changed_at < before).order_by(Upload.upload_id)
            return list(connection.execute(query).scalars())

    def upload_ids(self) -> set[str]:
        """Returns all uploads."""
        with self._transactions.reading() as connection:
            return set(connection.execute(select(Upload.upload_id)).scalars())

    # Garbage

    def needed(self) -> set[str]:
        """SHA-256 of every file that a job names, and of the bundles of exports."""
        with self._transactions.reading() as connection:
            named = connection.execute(select(Job.files).where(Job.files.is_not(None))).scalars()
            bundles = select(ExportRequest.bundle_sha256).where(ExportRequest.bundle_sha256.is_not(None))
            needed = {str(sha256) for sha256 in connection.execute(bundles).scalars()}
            return needed.union(*((files or {}).values() for files in named))

    def idle(self, idle_s: float) -> dict[str, int]:
        """Returns the sizes of the files that nobody has used for so many seconds, by SHA-256."""
        last_use = func.max(Artefact.used_at)
        query = (
            select(Artefact.sha256, func.max(Artefact.size_bytes)).group_by(Artefact.sha256).order_by(Artefact.sha256)
        )
        with self._transactions.reading() as connection:
            rows = connection.execute(query.having(last_use < utc_now() - timedelta(seconds=idle_s)))
            return {row[0]: row[1] for row in rows}

    def drop(self, sha256: str, idle_s: float, remove: Callable[[], None]) -> bool:
        """Forgets a file and calls ``remove``, which removes it; False if somebody has used it meanwhile."""
        with self._transactions.writing() as connection:
            _lock(connection)
            used = select(Artefact.owner).where(
                Artefact.sha256 == sha256, Artefact.used_at >= utc_now() - timedelta(seconds=idle_s)
            )
            if connection.execute(used).first() is not None:
                return False
            connection.execute(delete(Artefact).where(Artefact.sha256 == sha256))
            remove()
        return True


def _lock(connection: Connection) -> None:
    """Lets transactions that write these tables take turns; those of SQLite do anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE artefacts, uploads IN SHARE ROW EXCLUSIVE MODE"))


def _use(connection: Connection, owner: str, sha256: str) -> bool:
    """Stores that a user uses a file now; False if they do not have it."""
    theirs = Artefact.owner == owner, Artefact.sha256 == sha256
    return bool(connection.execute(update(Artefact).where(*theirs), {"used_at": utc_now()}).rowcount)


def _add(connection: Connection, owner: str, sha256: str, size_bytes: int) -> None:
    now = utc_now()
    row = {"owner": owner, "sha256": sha256, "size_bytes": size_bytes, "created_at": now, "used_at": now}
    connection.execute(insert(Artefact), row)


def _bytes_of(connection: Connection, owner: str) -> int:
    tables = (Artefact, Upload)
    sums = [select(func.coalesce(func.sum(table.size_bytes), 0)).where(table.owner == owner) for table in tables]
    return sum(int(connection.execute(query).scalar_one()) for query in sums)


def _check_quota(connection: Connection, owner: str, size_bytes: int, quota_bytes: float) -> None:
    used = _bytes_of(connection, owner)
    if used + size_bytes > quota_bytes:
        raise OverQuota(
            f"{owner} has files of {used} bytes; {size_bytes} more would exceed the {quota_bytes:.0f} that are allowed",
            "delete jobs that need them, or ask the operator to raise PARETUNE_QUOTA_BYTES",
        )
