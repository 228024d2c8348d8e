"""Whether a job that is done has something left that another moment may give."""

from __future__ import annotations

from search.states import TrialState
from search.store import Store


def is_unsettled(store: Store, job_id: str) -> bool:
    """Whether candidates of the job were put off, or members of a front were not measured again."""
    front = store.front(job_id) or {}
    parts = [front, *front.get("fronts", {}).values(), front.get("joint", {})]
    if any(part.get("unconfirmed") for part in parts):
        return True
    return any(row.state is TrialState.PENDING for row in store.trials(job_id))
