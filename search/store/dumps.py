"""Databases copied to a file, and made from one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from hwprofiles.errors import InvalidInput, StorageError
from search.store.engine import open_engine, place_of
from search.store.errors import storage_errors
from search.store.revision import revision_of
from search.store.upgrade import upgrade

SQLITE, POSTGRESQL = "sqlite", "postgresql"


def dump(url: str, file: Path) -> str:
    """Copies a database to a new file as it is at one moment, while others use it; returns its kind.

    SQLite by its online backup, PostgreSQL by ``pg_dump``. Raises :class:`StorageError` for a database that cannot be
    read, :class:`InvalidInput` where ``pg_dump`` is missing.
    """
    engine = open_engine(url)
    try:
        kind = engine.dialect.name
        if kind == SQLITE:
            _copy_sqlite(engine, file)
        else:
            _run("pg_dump", engine, "--format=custom", "--no-owner", "--no-privileges", f"--file={file}")
    finally:
        engine.dispose()
    return kind


def check_target(url: str, kind: str) -> None:
    """Raises :class:`InvalidInput` unless a database of this kind can be made at ``url``: nothing is replaced."""
    engine = open_engine(url)
    try:
        place = place_of(engine)
        if engine.dialect.name != kind:
            raise InvalidInput(f"the backup is of a database of {kind}, and {place} is none", "name one with --db")
        if kind == SQLITE:
            exists = Path(str(engine.url.database)).exists()
        else:
            with storage_errors(place), engine.begin() as connection:
                exists = revision_of(connection, place) is not None
        if exists:
            raise InvalidInput(
                f"database {place} exists, and is not replaced", "move it away, or name another with --db"
            )
    finally:
        engine.dispose()


def restore(url: str, file: Path) -> None:
    """Makes a database from the file of :func:`dump`, and brings it to this version's schema.

    Raises :class:`StorageError` if it cannot be made.
    """
    engine = open_engine(url)
    try:
        if engine.dialect.name == SQLITE:
            _restore_sqlite(Path(str(engine.url.database)), file)
        else:
            _run("pg_restore", engine, "--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", file)
    finally:
        engine.dispose()
    upgrade(url)


def _copy_sqlite(engine: Engine, file: Path) -> None:
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with storage_errors(place_of(engine)):
        try:
            source = sqlite3.connect(f"{Path(str(engine.url.database)).absolute().as_uri()}?mode=rw", uri=True)
            with closing(source), closing(sqlite3.connect(file)) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # one file, whole
        except sqlite3.Error as error:
            raise StorageError(f"database {engine.url.database}: {error}", "check that you may read it") from None


def _restore_sqlite(target: Path, file: Path) -> None:
    """Makes the file, so that it appears whole."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(file, partial)
        partial.chmod(0o600)
        partial.rename(target)
    except OSError as error:
        raise StorageError(f"database {target}: {error.strerror}", "name another with --db") from None
    finally:
        partial.unlink(missing_ok=True)


def _run(program: str, engine: Engine, *options: str | Path) -> None:
    """Runs a program of PostgreSQL on an engine's database."""
    if shutil.which(program) is None:
        raise InvalidInput(
            f"{program} is not installed", "install PostgreSQL's client programs, of the server's version or newer"
        )
    command = [program, *map(str, options), f"--dbname={_address(engine.url)}"]
    environment = os.environ | ({"PGPASSWORD": str(engine.url.password)} if engine.url.password else {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise StorageError(f"{program}: {lines[0]}", "check that --db names a database that you may read and write")


def _address(url: URL) -> str:
    """Returns the URL as PostgreSQL's programs take it, without the password, which others would see."""
    return url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
