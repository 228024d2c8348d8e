"""The evidence of a job's figures: measured, modelled or made up."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from evaluators.metrics import metric_of
from hwprofiles import Profile
from search.fronts.metrics import QUALITY_RUNTIME


class Evidence(StrEnum):
    """The evidence of a job's figures."""

    MEASURED = "measured"
    MODELLED = "modelled"
    """Quality was evaluated on this machine, speed is a bound by the device's peaks."""
    INVENTED = "invented"
    """Everything is made up, for tests."""


IN_WORDS = {
    Evidence.MEASURED: "",
    Evidence.MODELLED: "speed is modelled, not measured",
    Evidence.INVENTED: "dry run: every figure is made up",
}
"""A note after a job's name."""

EXPLANATIONS = {
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
"""A paragraph above a job's figures."""


def evidence_of(profile: Profile, baseline: Mapping[str, Any]) -> Evidence:
    """Returns the evidence of a job's figures on a device; ``baseline`` are the fp32 model's metrics there, or empty.

    Earlier versions made up the quality of modelled devices too; they stored no runtime for it.
    """
    if not profile.simulated:
        return Evidence.MEASURED
    made_up = profile.is_dry_run or (baseline and QUALITY_RUNTIME not in baseline)
    return Evidence.INVENTED if made_up else Evidence.MODELLED


def qualify_title(title: str, metric: str, evidence: str = Evidence.MEASURED) -> str:
    """Returns a metric's title, marked if the figure is a bound.

    >>> qualify_title("Latency", "latency_ms.p50", "modelled"), qualify_title("Latency", "latency_ms", "measured")
    ('Latency, at best', 'Latency')
    """
    bound = metric_of(metric).bound
    return f"{title}, {bound}" if evidence == Evidence.MODELLED and bound else title
