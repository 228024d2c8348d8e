"""Schema revisions: that of a database, and the one that this version of Paretune needs."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from hwprofiles.errors import StorageError

# The newest of migrations/versions, so that Alembic need not be imported; a test keeps the two equal.
HEAD = "0005"

# Not Alembic's default name, which other programs use too.
VERSION_TABLE = "paretune_version"


def revision_of(connection: Connection, place: str) -> str | None:
    """Returns the revision of a database's schema, None for an empty database.

    Raises :class:`StorageError` if it holds another program's tables, or is newer than this version of Paretune.
    """
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        if tables:
            raise StorageError(
                f"database {place} holds another program's tables", "give Paretune a database of its own with --db"
            )
        return None
    revision = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
    # Revisions have four digits, so that they sort as text.
    if revision > HEAD:
        raise StorageError(
            f"database {place} has schema {revision}, newer than this version of Paretune knows ({HEAD})",
            "upgrade Paretune, or name another database with --db",
        )
    return str(revision)
