"""Measurement effort: jobs with little time measure shorter and fewer things."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evaluators.devices.deadline import NEVER, Deadline
from evaluators.measuring.latency import Protocol
from search.job.spec import Job

MEASUREMENT_SHARE = 0.05
"""Share of the budget that one latency measurement may take, not counting retries on a noisy machine."""

SHORTEST_S = 2.0

BRIEF_S = 180.0
"""A job with fewer seconds measures memory and start-up times only if its file names them."""


@dataclass(frozen=True)
class Allowance:
    """The effort of a job's measurements."""

    ends: Deadline = NEVER
    """When measuring ends."""
    protocol: Protocol = Protocol()  # noqa: RUF009 - frozen
    """How latency is measured."""
    all_secondary: bool = True
    """Whether the evaluators of a device by default (memory, start-up) measure though the job does not name them."""

    @classmethod
    def within(cls, job: Job, ends: Deadline = NEVER) -> Allowance:
        """Returns the allowance for the total time of a job."""
        total_s = job.budget.total_s
        return cls(ends, protocol_within(total_s, job.protocol), total_s >= BRIEF_S)


def protocol_within(total_s: float, usual: Protocol = Protocol()) -> Protocol:  # noqa: B008 - frozen
    """Returns the latency protocol of a job with a budget of ``total_s`` seconds: ``usual``, or a shorter one.

    >>> protocol_within(math.inf) == protocol_within(600.0) == Protocol()
    True
    >>> protocol_within(60.0).max_s
    3.0
    """
    most_s = max(SHORTEST_S, MEASUREMENT_SHARE * total_s)
    if most_s >= usual.max_s:
        return usual
    patience_s = usual.patience_s * most_s / usual.max_s
    shorter = replace(
        usual,
        max_s=most_s,
        min_s=min(usual.min_s, most_s),
        aim_s=min(usual.aim_s, most_s),
        patience_s=patience_s,
        attempts=2,
    )
    # A model of half a second exceeds ``most_s`` even with the minimum number of pairs.
    return shorter if total_s >= BRIEF_S else replace(shorter, blocks=2, warm_up_max_runs=6, attempts=1)
