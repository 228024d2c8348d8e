"""SQL statements that several parts of the store share; each runs in its caller's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from hwprofiles import Profile
from search.store import models
from search.store.base_model import Base
from search.store.columns import utc_now
from search.store.models import Device


def register(connection: Connection, *profiles: Profile) -> None:
    """Stores profiles, and makes each its device's current one; of several of one device, the first of them.

    Locks rows in the order of their keys, so that two transactions never wait for each other.
    """
    now = utc_now()
    for digest, profile in sorted({profile.digest: profile for profile in profiles}.items()):
        stored = connection.execute(select(models.Profile.digest).where(models.Profile.digest == digest)).first()
        if stored is None:
            insert_if_absent(connection, models.Profile, digest=digest, data=profile.to_dict(), created_at=now)
    for device, digest in sorted({profile.device: profile.digest for profile in reversed(profiles)}.items()):
        current = {"profile_digest": digest, "seen_at": now}
        if not connection.execute(update(Device).where(Device.name == device), current).rowcount:
            insert_if_absent(connection, Device, name=device, **current)


def insert_if_absent(connection: Connection, table: type[Base], **values: Any) -> bool:
    """Adds a row unless a unique value of it exists, and returns whether it was added.

    Waits for another transaction that is adding the same.
    """
    try:
        with connection.begin_nested():
            connection.execute(insert(table), values)
    except IntegrityError:
        return False
    return True
