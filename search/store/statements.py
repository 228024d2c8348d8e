"""SQL statements that several parts of the store share; each runs in its caller's transaction."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from hwprofiles import Profile
from search.store import models
from search.store.columns import utc_now
from search.store.models import Device


def register(connection: Connection, profile: Profile) -> None:
    """Stores a profile, and makes it its device's current one."""
    now = utc_now()
    stored = connection.execute(select(models.Profile.digest).where(models.Profile.digest == profile.digest)).first()
    if stored is None:
        insert_if_absent(connection, models.Profile, digest=profile.digest, data=profile.to_dict(), created_at=now)
    current = {"profile_digest": profile.digest, "seen_at": now}
    if not connection.execute(update(Device).where(Device.name == profile.device), current).rowcount:
        insert_if_absent(connection, Device, name=profile.device, **current)


def insert_if_absent(connection: Connection, table: type[models.Base], **values: Any) -> None:
    """Adds a row unless it exists: another process may have inserted it since the caller looked."""
    with suppress(IntegrityError), connection.begin_nested():
        connection.execute(insert(table), values)
