"""How much is in the store: what is watched while a service runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from search.states import JobState, RequestState
from search.store.columns import utc_now
from search.store.models import Job, Request, TrialCount
from search.store.transactions import Transactions


@dataclass(frozen=True)
class CountsRow:
    """Counts of one moment."""

    jobs: Mapping[str, int]
    """Jobs by state."""
    trials: Mapping[str, int]
    """Candidates by state."""
    open_requests: Mapping[str, int]
    """Measurement requests that are queued or leased, by device."""
    queue_wait_s: float
    """Seconds for which the oldest queued job has waited; 0 if none waits."""


class Counts:
    """The store's part about counts; each method is a transaction that reads."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def all(self) -> CountsRow:
        """Returns the counts of this moment."""
        waiting = Job.state == JobState.QUEUED, Job.detached
        with self._transactions.reading() as connection:
            jobs = connection.execute(select(Job.state, func.count()).group_by(Job.state)).all()
            numbers = select(TrialCount.state, func.sum(TrialCount.count)).group_by(TrialCount.state)
            trials = connection.execute(numbers).all()
            open_ones = Request.state.in_((RequestState.QUEUED, RequestState.LEASED))
            requests = select(Request.device, func.count()).where(open_ones).group_by(Request.device)
            by_device = {device: count for device, count in connection.execute(requests)}  # noqa: C416 - rows
            oldest = connection.execute(select(func.min(Job.created_at)).where(*waiting)).scalar_one()
        return CountsRow(
            {state.value: count for state, count in jobs},
            {state.value: int(count) for state, count in trials if count},
            by_device,
            0.0 if oldest is None else max(0.0, (utc_now() - oldest).total_seconds()),
        )
