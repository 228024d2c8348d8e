"""Capabilities of devices, and the accuracy of a job's latency predictions."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from hwprofiles import Profile
from search.store import models, statements
from search.store.columns import utc_now
from search.store.models import Capability
from search.store.rows import Json, Lease
from search.store.transactions import Transactions


class CapabilityRecords(Transactions):
    """The store's part about capabilities and latency predictions."""

    def set_capability(self, profile: Profile, record: Json) -> None:
        """Stores a device's probing results in place of earlier ones; ``profile`` becomes its current profile."""
        with self._writing() as connection:
            statements.register(connection, profile)
            connection.execute(delete(Capability).where(Capability.profile_digest == profile.digest))
            connection.execute(
                insert(Capability).values(profile_digest=profile.digest, record=record, created_at=utc_now())
            )

    def capability(self, profile_digest: str) -> Json | None:
        """The probing results of a profile's device; None if it was never probed."""
        with self._reading() as connection:
            query = select(Capability.record).where(Capability.profile_digest == profile_digest)
            return connection.execute(query).scalar_one_or_none()

    def capabilities(self) -> list[tuple[Profile, Json]]:
        """Every probed profile with its results, the newest first."""
        with self._reading() as connection:
            query = (
                select(models.Profile.data, Capability.record)
                .join(models.Profile)
                .order_by(Capability.created_at.desc(), Capability.profile_digest)
            )
            return [(Profile.from_dict(data), record) for data, record in connection.execute(query)]

    def set_prediction(self, lease: Lease, prediction: Json) -> None:
        """Stores how accurately the layer table predicts a job's latencies."""
        with self._holding(lease) as connection:
            statements.change_job(connection, lease.job_id, prediction=prediction)
