"""What each user may store and use, as the operator sets it."""

from __future__ import annotations

import math
import os

from hwprofiles.errors import InvalidInput
from search.store import Store
from search.store.errors import OverQuota

MAX_OPEN_UPLOADS = 16
"""Files that a user may be sending at the same time."""

UPLOAD_IDLE_S = 24 * 3600.0
"""An upload of which nothing arrives for so long is given up."""

AGENT_IDLE_S = 600.0
"""Seconds for which a file for agents stays that no request needs: its request may be about to be stored."""

GRACE_S = 24 * 3600.0
"""Seconds for which a file stays that no job names: its job may be about to be submitted."""


QUOTA_WITHIN_S = 7 * 86400.0
"""Jobs that ended earlier do not count for the quota of time."""


def quota_bytes() -> float:
    """Bytes that a user's files may have together: ``PARETUNE_QUOTA_BYTES``, 20 GiB by default."""
    return _number("PARETUNE_QUOTA_BYTES", 20 * 2.0**30)


def quota_hours() -> float:
    """Hours that a user's jobs may run within 7 days: ``PARETUNE_QUOTA_HOURS``, without a limit by default."""
    return _number("PARETUNE_QUOTA_HOURS", math.inf)


def check_time(store: Store, owner: str) -> None:
    """Raises :class:`search.store.OverQuota` if a user's jobs have run for as long as they may."""
    used_hours, hours = store.jobs.run_s(owner, QUOTA_WITHIN_S) / 3600, quota_hours()
    if used_hours >= hours:
        raise OverQuota(
            f"jobs of {owner} have run for {used_hours:.1f} h within 7 days, of {hours:g} h that are allowed",
            "submit again in some days, or ask the operator to raise PARETUNE_QUOTA_HOURS",
        )


def keep_days() -> float:
    """Days for which an ended job keeps what can be built again: ``PARETUNE_KEEP_DAYS``, 30 by default."""
    return _number("PARETUNE_KEEP_DAYS", 30.0)


def gc_hours() -> float:
    """Hours between two collections of garbage by workers: ``PARETUNE_GC_HOURS``, 6 by default; 0 for none."""
    return _number("PARETUNE_GC_HOURS", 6.0)


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise InvalidInput(f"{variable}: {text!r} is not a number of at least 0", f"write it like {default:.0f}")
    return value
