"""How a job's processes get at remote devices, and what it means that one is gone."""

from __future__ import annotations

from dataclasses import dataclass, field

from hwprofiles.errors import DeviceUnavailable

AWAY_S = 600.0


class DeviceLost(DeviceUnavailable):
    """A remote device that cannot be asked any more: nothing is known of the candidate, and the job stops until it is
    resumed."""


@dataclass(frozen=True)
class RequestLink:
    """The URL of the store, and after how many seconds without a word from its agent a device is given up.

    ``purpose`` names what the measurements are for, such as the job and its phase: the same question for the same
    purpose is answered by what was measured already, so that a job which is resumed measures nothing twice. None stands
    for a purpose that nobody comes back to.
    """

    url: str = field(repr=False)
    purpose: str | None = None
    away_s: float = AWAY_S
