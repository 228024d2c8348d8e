"""The document of a job's learning curve: the rewards from which its strategy learnt."""

from __future__ import annotations

from dashboards.words import Json
from search.controller.scheduler import REWARDS
from search.store import JobRow


def learning_document(job: JobRow) -> Json:
    """Returns a job's rewards in the order in which its strategy learnt from them, each with its candidate's trial.

    Empty for a strategy without rewards, and before its first update.
    """
    return {
        "job_id": job.job_id,
        "name": job.name,
        "strategy": (job.spec.get("strategy") or {}).get("name"),
        "rewards": list((job.strategy_state or {}).get(REWARDS, [])),
    }
