"""Where a job's figures come from."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from evaluators.metrics import metric_of
from hwprofiles import Profile
from search.fronts.metrics import QUALITY_RUNTIME


class Evidence(StrEnum):
    """What stands behind a job's figures.

    ``modelled``: quality was evaluated on this machine, and speed is a bound from the device's peaks. ``invented``:
    everything is made up, for tests.
    """

    MEASURED = "measured"
    MODELLED = "modelled"
    INVENTED = "invented"


IN_WORDS = {
    Evidence.MEASURED: "",
    Evidence.MODELLED: "speed is modelled, not measured",
    Evidence.INVENTED: "dry run: every figure is made up",
}
"""What to say beside a job's name."""

EXPLAINED = {
    Evidence.MEASURED: "",
    Evidence.MODELLED: (
        "This device was modelled: no latency was measured. Latency is what the device's peaks allow at best, the "
        "speed-up what they allow at most, and real devices are slower. Quality and size are real: each file was built "
        "and evaluated on this machine."
    ),
    Evidence.INVENTED: (
        "This was a dry run: nothing was built, evaluated or measured. Every figure here is made up, accuracy too, to "
        "try a job file or for tests."
    ),
}
"""What a page says above a job's figures."""


def evidence_of(profile: Profile, baseline: Mapping[str, Any]) -> Evidence:
    """What stands behind the figures of a job on a device; ``baseline`` are the fp32 model's metrics there, empty while
    there are none. Earlier versions made up the quality of modelled devices too, and noted no runtime for it."""
    if not profile.simulated:
        return Evidence.MEASURED
    made_up = profile.is_dry_run or (baseline and QUALITY_RUNTIME not in baseline)
    return Evidence.INVENTED if made_up else Evidence.MODELLED


def qualified(title: str, metric: str, evidence: str = Evidence.MEASURED) -> str:
    """A metric's title, which says where the figure is a bound.

    >>> qualified("Latency", "latency_ms.p50", "modelled"), qualified("Latency", "latency_ms", "measured")
    ('Latency, at best', 'Latency')
    """
    bound = metric_of(metric).bound
    return f"{title}, {bound}" if evidence == Evidence.MODELLED and bound else title
