"""Database engines: connections that behave alike on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from hwprofiles.errors import InvalidInput
from hwprofiles.installed import install_command
from search.store.errors import REPORT, Unstorable, storage_errors
from search.store.revision import VERSION_TABLE

# Option of an engine whose transactions write: on SQLite they take the write lock at their beginning.
WRITES = {"paretune_writes": True}

# Options of an engine whose transactions only read, by kind of database: each sees one state throughout. SQLite's do.
READS: dict[str, dict[str, Any]] = {"postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}}

# A server that went silent is given up: within 10 s when connecting, within half a minute later. The URL may say else.
_PATIENCE = {
    "connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}  # fmt: skip

_BUSY_TIMEOUT_MS = 30_000
_KINDS = ("sqlite", "postgresql")
_SIDE_FILES = ("-wal", "-shm")
_JSON = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_URL_HINT = "write it like sqlite:////home/me/jobs.db or postgresql://me@host/jobs"


def open_engine(url: str) -> Engine:
    """Makes an engine for an SQLAlchemy ``url``, and the folder of an SQLite file; connects to nothing yet.

    Raises :class:`InvalidInput` for a URL that cannot be used, :class:`StorageError` if the folder cannot be made.
    """
    try:
        parsed = _parse(url)
        _refuse_memory(parsed)
        engine = create_engine(parsed, json_serializer=_to_json, hide_parameters=True, **_connecting(parsed))
    except ImportError as error:
        raise InvalidInput(
            f"database URL: the driver {error.name!r} is not installed",
            f"install it, for PostgreSQL with: {install_command('postgres')}",
        ) from None
    except NoSuchModuleError:
        raise InvalidInput(f"database URL: unknown kind of database {parsed.drivername!r}", _URL_HINT) from None
    except (ArgumentError, ValueError) as error:
        raise _invalid_url(url, error) from None
    if engine.dialect.is_async:
        raise InvalidInput(f"database URL: {parsed.drivername!r} is an asynchronous driver", _URL_HINT)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    return engine


def _parse(url: str) -> URL:
    """Returns a URL in its parts; raises :class:`InvalidInput` for a kind of database that Paretune does not use."""
    parsed = make_url(url)
    if (kind := parsed.get_backend_name()) not in _KINDS:
        raise InvalidInput(f"database URL: unknown kind of database {kind!r}", _URL_HINT)
    return parsed


def _connecting(url: URL) -> dict[str, Any]:
    """Returns the options of connections to a server; they are tried before each use, since it may have restarted."""
    if url.get_backend_name() != "postgresql":
        return {}
    patience = {name: value for name, value in _PATIENCE.items() if name not in url.query}
    return {"pool_pre_ping": True, "connect_args": patience}


def _invalid_url(url: str, error: Exception) -> InvalidInput:
    if ":/" in url:
        return InvalidInput(f"database URL: {str(error).splitlines()[0]}", _URL_HINT)
    return InvalidInput(
        f"database URL: {url!r} is not a URL", f"for an SQLite file write: sqlite:///{url or 'jobs.db'}"
    )


def place_of(engine: Engine) -> str:
    """Returns the database for messages: an SQLite file's path, else the URL without its password."""
    file = engine.dialect.name == "sqlite" and engine.url.database
    return file or engine.url.render_as_string(hide_password=True)


def database_exists(url: str) -> bool:
    """Returns whether a database may exist at a URL: False only for an SQLite file that does not exist.

    Raises :class:`InvalidInput` for a URL that cannot be used.
    """
    try:
        parsed = _parse(url)
        parsed.get_dialect()
    except NoSuchModuleError:
        raise InvalidInput(f"database URL: unknown kind of database {parsed.drivername!r}", _URL_HINT) from None
    except ImportError:
        return True  # opening it says which driver is missing
    except (ArgumentError, ValueError) as error:
        raise _invalid_url(url, error) from None
    file = parsed.database or ""
    return parsed.get_backend_name() != "sqlite" or file.startswith("file:") or Path(file).exists()


def url_of(engine: Engine) -> str:
    """Returns the URL of an engine's database, valid in any working folder; includes the password."""
    url = engine.url
    if engine.dialect.name == "sqlite" and url.database and not url.database.startswith("file:"):
        url = url.set(database=str(Path(url.database).absolute()))
    return url.render_as_string(hide_password=False)


def _to_json(value: Any) -> str:
    """Compact JSON with keys in their order; raises for NaN and infinities, which JSON does not have."""
    try:
        return _JSON.encode(value)
    except (TypeError, ValueError) as error:
        raise Unstorable(f"a value cannot be stored as JSON: {error}", REPORT) from None


def _refuse_memory(url: URL) -> None:
    file = url.database or ":memory:"
    in_memory = file == ":memory:" or "mode=memory" in file or url.query.get("mode") == "memory"
    if url.get_backend_name() == "sqlite" and in_memory:
        raise InvalidInput("database URL: a database in memory is lost at the end and cannot be shared", _URL_HINT)


def _prepare_sqlite(engine: Engine) -> None:
    file = engine.url.database or ""
    if not file.startswith("file:"):
        with storage_errors(file):
            Path(file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        event.listen(engine, "do_connect", lambda *_: _create(Path(file)))
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)


def _create(file: Path) -> None:
    """Creates a database file for its user alone, unless it exists.

    Ignores errors: SQLite meets the same ones and reports them.
    """
    with suppress(OSError):
        # Only a new file is opened: closing any handle of a file drops all locks that this process holds on it, and
        # SQLite would then take its side files from under other processes.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    # We send BEGIN ourselves: Python's driver begins a writer as a reader, and SQLite refuses to promote a reader once
    # another process has written.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and VERSION_TABLE not in tables:
        return  # another program's, whose file and journal are not ours to change
    _make_private(Path(connection.execute("PRAGMA database_list").fetchone()[2]))
    # Readers go on while one writes. With WAL, NORMAL loses nothing when a process dies; a power cut may take the last
    # few transactions, never the database, and a resumed job repeats what they held. FULL costs a disk flush each.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _make_private(file: Path) -> None:
    """Restricts a database file of Paretune and SQLite's side files to their user; ignores errors."""
    for path in (file, *(file.with_name(file.name + suffix) for suffix in _SIDE_FILES)):
        with suppress(OSError):
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("paretune_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
