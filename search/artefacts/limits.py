"""What each user may store and use, as the operator sets it."""

from __future__ import annotations

import math
import os

from hwprofiles.errors import InvalidInput

MAX_OPEN_UPLOADS = 16
"""Files that a user may be sending at the same time."""

UPLOAD_IDLE_S = 24 * 3600.0
"""An upload of which nothing arrives for so long is given up."""

GRACE_S = 24 * 3600.0
"""Seconds for which a file stays that no job names: its job may be about to be submitted."""


def quota_bytes() -> float:
    """Bytes that a user's files may have together: ``PARETUNE_QUOTA_BYTES``, 20 GiB by default."""
    return _number("PARETUNE_QUOTA_BYTES", 20 * 2.0**30)


def quota_hours() -> float:
    """Hours that a user's jobs may run within 7 days: ``PARETUNE_QUOTA_HOURS``, without a limit by default."""
    return _number("PARETUNE_QUOTA_HOURS", math.inf)


def keep_days() -> float:
    """Days for which an ended job keeps what can be built again: ``PARETUNE_KEEP_DAYS``, 30 by default."""
    return _number("PARETUNE_KEEP_DAYS", 30.0)


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise InvalidInput(f"{variable}: {text!r} is not a number of at least 0", f"write it like {default:.0f}")
    return value
