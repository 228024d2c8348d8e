"""How many candidates each job has in each state, kept in step with them; each call runs in its caller's transaction.

The caller holds the job's lease, so that no other transaction changes the job's counts.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, insert, select, update

from search.states import TrialState
from search.store.models import Trial, TrialCount


def counts_of(connection: Connection, job_id: str) -> dict[TrialState, int]:
    """Returns the number of a job's candidates by state; states that none has are left out."""
    query = select(TrialCount.state, TrialCount.count).where(TrialCount.job_id == job_id, TrialCount.count > 0)
    return {row.state: int(row[1]) for row in connection.execute(query)}


def add(connection: Connection, job_id: str, state: TrialState, number: int) -> None:
    """Notes that there are so many more of a job's candidates in a state."""
    of_state = TrialCount.job_id == job_id, TrialCount.state == state
    if not connection.execute(update(TrialCount).where(*of_state).values(count=TrialCount.count + number)).rowcount:
        connection.execute(insert(TrialCount), {"job_id": job_id, "state": state, "count": number})


def recount(connection: Connection, job_id: str) -> None:
    """Counts a job's candidates anew."""
    connection.execute(delete(TrialCount).where(TrialCount.job_id == job_id))
    counts = select(Trial.job_id, Trial.state, func.count()).where(Trial.job_id == job_id)
    columns = ["job_id", "state", "count"]
    connection.execute(insert(TrialCount).from_select(columns, counts.group_by(Trial.job_id, Trial.state)))
