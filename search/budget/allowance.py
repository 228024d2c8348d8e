"""How much time a job's measurements may take: shorter ones where the job has little."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evaluators.devices.deadline import NEVER, Deadline
from evaluators.measuring.latency import Protocol
from search.job.spec import Job

MEASUREMENT_SHARE = 0.05
"""Of a budget that one latency measurement may take, its patience with a noisy machine aside."""

SHORTEST_S = 2.0

STARTS = frozenset({"cold_start_ms", "warm_start_ms"})
BESIDE = STARTS | {"peak_memory_bytes"}

BRIEF_S = 180.0
"""A job with less time measures memory and starts only where it asks for them."""


@dataclass(frozen=True)
class Allowance:
    """When measuring ends, by which ``protocol`` latency is measured, and whether memory and starts are measured
    ``beside`` it also where the job does not name them."""

    ends: Deadline = NEVER
    protocol: Protocol = Protocol()  # noqa: RUF009 - frozen
    beside: bool = True

    def wanted_beside(self, job: Job) -> frozenset[str]:
        """Of memory and starts, what is to be measured for a job."""
        return BESIDE if self.beside else frozenset(filter(job.wants, BESIDE))

    @classmethod
    def within(cls, job: Job, ends: Deadline = NEVER) -> Allowance:
        """For the time that a job has in all."""
        total_s = job.budget.total_s
        return cls(ends, protocol_within(total_s, job.protocol), total_s >= BRIEF_S)


def protocol_within(total_s: float, usual: Protocol = Protocol()) -> Protocol:  # noqa: B008 - frozen
    """The protocol of a job that has ``total_s`` seconds in all, and measures by ``usual`` where it has enough.

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
    # Models of half a second take longer than that for the fewest pairs that will do.
    return shorter if total_s >= BRIEF_S else replace(shorter, blocks=2, warm_up_max_runs=6, attempts=1)
