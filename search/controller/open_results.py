"""Open results of a job that is done: those that resuming it may add."""

from __future__ import annotations

from search.states import TrialState
from search.store import Store


def has_open_results(store: Store, job_id: str) -> bool:
    """Returns whether candidates of the job were put off, or front members were not measured again."""
    front = store.fronts.get(job_id) or {}
    parts = [front, *front.get("fronts", {}).values(), front.get("joint", {})]
    if any(part.get("unconfirmed") for part in parts):
        return True
    return any(row.state is TrialState.PENDING for row in store.trials.of_job(job_id))
