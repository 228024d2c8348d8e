"""Devices in the store: their profiles and probing results."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from hwprofiles import Profile
from hwprofiles.errors import NotFound
from search.store import models, statements
from search.store.columns import utc_now
from search.store.models import Capability, Device
from search.store.rows import Json
from search.store.transactions import Transactions


class Devices:
    """The store's part about devices, their profiles and capabilities; each method is a transaction.

    Belongs to no job: whoever writes needs no lease, and the last one to write wins. A device is known once it had a
    job, an agent or a probing; its current profile is the one of the last of these. Profiles never change and are never
    removed.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def all(self) -> list[tuple[str, Profile]]:
        """Returns all devices that had a job or an agent, with their current profiles, by name."""
        with self._transactions.reading() as connection:
            query = select(Device.name, models.Profile.data).join(models.Profile).order_by(Device.name)
            return [(name, Profile.from_dict(data)) for name, data in connection.execute(query)]

    def profile(self, digest: str) -> Profile:
        """Returns the profile with this digest, current or not."""
        with self._transactions.reading() as connection:
            query = select(models.Profile.data).where(models.Profile.digest == digest)
            data = connection.execute(query).scalar_one_or_none()
        if data is None:
            raise NotFound(f"there is no profile {digest!r}", "list the devices with: paretune devices list")
        return Profile.from_dict(data)

    def set_capability(self, profile: Profile, record: Json) -> None:
        """Stores a device's probing results in place of earlier ones; ``profile`` becomes its current profile."""
        with self._transactions.writing() as connection:
            statements.register(connection, profile)
            connection.execute(delete(Capability).where(Capability.profile_digest == profile.digest))
            connection.execute(
                insert(Capability).values(profile_digest=profile.digest, record=record, created_at=utc_now())
            )

    def capability(self, profile_digest: str) -> Json | None:
        """Returns the probing results of a profile's device; None if it was never probed."""
        with self._transactions.reading() as connection:
            query = select(Capability.record).where(Capability.profile_digest == profile_digest)
            return connection.execute(query).scalar_one_or_none()

    def capabilities(self) -> list[tuple[Profile, Json]]:
        """Returns every probed profile with its results, the newest first."""
        with self._transactions.reading() as connection:
            query = (
                select(models.Profile.data, Capability.record)
                .join(models.Profile)
                .order_by(Capability.created_at.desc(), Capability.profile_digest)
            )
            return [(Profile.from_dict(data), record) for data, record in connection.execute(query)]
