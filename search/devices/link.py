"""The link between a job's processes and remote devices: how requests get there, and the error for a lost device."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from evaluators.devices.request import FileRef, MeasurementRequest
from hwprofiles import Profile
from hwprofiles.errors import DeviceUnavailable

AWAY_S = 600.0
"""Seconds without contact after which a device is given up."""


ADDRESS = "PARETUNE_RAY_ADDRESS"
"""Variable with the address of the Ray cluster that this machine is a node of."""


def ray_address() -> str | None:
    """Returns the address of the Ray cluster that this machine is a node of; None for none."""
    return os.environ.get(ADDRESS) or None


class DeviceLost(DeviceUnavailable):
    """Raised for a lost remote device: the candidate has no result, and the job stops until it is resumed."""


class Transport(ABC):
    """Carries requests to one remote device, and its answers back.

    Used from one thread; its creator closes it. Files are transferred by content, before a request names them.
    """

    @abstractmethod
    def runtimes(self) -> tuple[str, ...]:
        """Returns the runtimes that may execute models on the device; empty if that is not known."""

    @abstractmethod
    def put(self, path: Path) -> FileRef:
        """Makes a file available to the device; raises :class:`hwprofiles.errors.StorageError` if that fails."""

    @abstractmethod
    def put_bytes(self, data: bytes) -> FileRef:
        """Makes bytes available to the device as a file, as :meth:`put` does."""

    @abstractmethod
    def has(self, file: FileRef) -> bool:
        """Returns whether a file is still available; if so, it stays for now."""

    @abstractmethod
    def answer(self, request: MeasurementRequest) -> dict[str, Any]:
        """Sends a request and waits for its answer (minutes), which may hold an error.

        Waiting for other users of the device counts against no time limit. Raises :class:`DeviceLost` if the device is
        out of contact for too long, :class:`hwprofiles.errors.StageTimeout` if it takes much longer than requested.
        """

    @abstractmethod
    def close(self, temporary: frozenset[FileRef]) -> None:
        """Ends the transport; files that nobody else needs may go, ``temporary`` ones at once. May be called again."""


@dataclass(frozen=True)
class DeviceLink(ABC):
    """A way to remote devices. Plain data: sent to the processes of a job, each of which opens its own transports."""

    @abstractmethod
    def open(self, profile: Profile) -> Transport:
        """Opens a transport to the device of a profile."""

    @abstractmethod
    def with_purpose(self, purpose: str) -> Self:
        """Returns the same link for measurements of this purpose."""


@dataclass(frozen=True)
class StoreLink(DeviceLink):
    """The way to remote devices from a machine that reaches the store: through it to devices with an agent, through the
    cluster to the nodes of one."""

    url: str = field(repr=False)
    """URL of the store."""
    purpose: str | None = None
    """What the measurements are for, such as the job and its phase. An equal request for the same purpose returns the
    stored result, so that a resumed job measures nothing twice. None: results are not reused."""
    away_s: float = AWAY_S
    """Seconds without contact after which a device is given up."""
    ray_address: str | None = field(default_factory=ray_address)
    """Address of the Ray cluster of which this machine is a node."""

    def open(self, profile: Profile) -> Transport:
        """See :meth:`DeviceLink.open`. Raises :class:`DeviceUnavailable` for a node's device without a cluster."""
        from search.devices.store_transport import StoreTransport  # imports SQLAlchemy
        from search.store import Store

        with Store(self.url) as store:
            board = store.agents.row(profile.device)
        if board is None or board.resource is None:
            return StoreTransport(profile, self)
        if self.ray_address is None:
            raise DeviceUnavailable(
                f"device {profile.device!r} is measured by nodes of a Ray cluster, which this process has not joined",
                f"on a machine of the cluster, set {ADDRESS} to HOST:PORT of its head",
            )
        from search.devices.cluster.connection import connect
        from search.devices.cluster.measuring import ClusterTransport
        from search.devices.cluster.resources import devices_among

        connect(self.ray_address)
        (device,) = devices_among([board.resource])
        return ClusterTransport(device, tuple(board.offer.get("runtimes", ())), self.away_s)

    def with_purpose(self, purpose: str) -> Self:
        """See :meth:`DeviceLink.with_purpose`."""
        return replace(self, purpose=purpose)
