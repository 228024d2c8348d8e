"""Devices that candidates can be exported for: those that measure."""

from __future__ import annotations

from hwprofiles import Profile
from hwprofiles.errors import InvalidInput


def check_real(candidate_id: str, profile: Profile) -> None:
    """Raises :class:`InvalidInput` for a simulated device, on which nothing could be measured for a receipt."""
    if profile.simulated:
        raise InvalidInput(
            f"candidate {candidate_id} cannot be exported for {profile.device!r}, which is simulated",
            "export it for a real device: --device local-cpu",
        )
