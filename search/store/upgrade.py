"""Upgrades a database to the schema of this version.

A schema change is a new file in ``migrations/versions`` with the next number, the same change in ``models.py``, and
``HEAD`` in ``revision.py``.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, func, select

from hwprofiles.errors import StorageError
from search.store.engine import WRITES, open_engine, place_of
from search.store.errors import storage_errors
from search.store.revision import HEAD, revision_of

MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK = 0x7061726574756E65
"""The advisory lock of upgrades on PostgreSQL: "paretune" in bytes."""


def upgrade(url: str) -> tuple[str | None, str]:
    """Upgrades the database at ``url`` in one transaction; returns the revision before (None: empty) and after.

    Waits for an upgrade by another process. Raises :class:`InvalidInput` for a URL that cannot be used,
    :class:`StorageError` for a database that cannot be upgraded: unreachable, unwritable, another program's, or newer
    than this version of Paretune.
    """
    engine = open_engine(url)
    try:
        return upgrade_engine(engine)
    finally:
        engine.dispose()


def prepare(engine: Engine) -> None:
    """Ensures that a database has the schema of this version; creates it in an empty SQLite file.

    Raises :class:`StorageError` for an older database or an empty one on a server, which are upgraded on request only
    since others may be using them, and for a database that cannot be upgraded.
    """
    place = place_of(engine)
    with storage_errors(place), engine.begin() as connection:
        revision = revision_of(connection, place)
    if revision is None and engine.dialect.name == "sqlite":
        upgrade_engine(engine)
    elif revision != HEAD:
        raise StorageError(
            f"database {place} has {'schema ' + revision if revision else 'no schema'}, Paretune needs {HEAD}",
            "run: paretune db upgrade",
        )


def upgrade_engine(engine: Engine) -> tuple[str | None, str]:
    """As :func:`upgrade`, for an open engine."""
    # Imported here: Alembic takes a noticeable part of a second and is rarely needed.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    place = place_of(engine)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        with storage_errors(place), engine.execution_options(**WRITES).begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            before = revision_of(connection, place)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StorageError(
            f"database {place}: {error}", "put a backup in its place, or name another with --db"
        ) from None
    return before, HEAD
