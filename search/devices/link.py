"""The link between a job's processes and remote devices, and the error for a lost device."""

from __future__ import annotations

from dataclasses import dataclass, field

from hwprofiles.errors import DeviceUnavailable

AWAY_S = 600.0
"""Seconds without contact after which a device is given up."""


class DeviceLost(DeviceUnavailable):
    """Raised for a lost remote device: the candidate has no result, and the job stops until it is resumed."""


@dataclass(frozen=True)
class RequestLink:
    """How to send measurement requests to remote devices: through the store."""

    url: str = field(repr=False)
    """URL of the store."""
    purpose: str | None = None
    """What the measurements are for, such as the job and its phase. An equal request for the same purpose returns the
    stored result, so that a resumed job measures nothing twice. None: results are not reused."""
    away_s: float = AWAY_S
    """Seconds without contact after which a device is given up."""
