"""Follows a job that workers run."""

from __future__ import annotations

import time

from dashboards.cli.console import ProgressBar, err
from dashboards.service import Service
from dashboards.words import Json
from hwprofiles.errors import ParetuneError
from search.controller.progress import Status
from search.states import JobState

LOOK_S = 1.0


def follow(service: Service, job_id: str) -> Json:
    """Shows a job's progress until it ends; returns its last status. Ctrl-C leaves the job as it is.

    Raises :class:`ParetuneError` for a job that ends without being done.
    """
    try:
        with ProgressBar() as progress:
            while True:
                document = service.job(job_id)
                state = JobState(document["state"])
                if state.ended:
                    break
                progress.update(status_of(document))
                time.sleep(LOOK_S)
    except KeyboardInterrupt:
        err.print(
            f"job {job_id} goes on; follow it with: paretune logs {job_id} --follow; "
            f"end it with: paretune cancel {job_id}",
            soft_wrap=True,
        )
        raise
    if state is JobState.FAILED:
        raise ParetuneError(f"job {job_id} failed: {document['error']}", document["hint"] or "")
    if state is not JobState.DONE:
        raise ParetuneError(f"job {job_id} is {state}", f"go on with: paretune resume {job_id}")
    return document


def status_of(document: Json) -> Status:
    """Returns the progress of a job from its status document."""
    progress, trials = document["progress"], document["trials"]
    return Status(
        phase=progress["phase"] or document["state"],
        message=progress["message"] or document["waiting"] or "",
        trials=progress["planned"] or 0,
        finished=progress["finished"],
        failed=trials["failed"],
        front=document["front_size"],
        best_speedup=document["best_speedup"],
        seconds_left=progress["time_left_s"],
        left_s={phase: value for phase, value in (progress["left_s"] or {}).items() if value is not None},
        at_work=tuple(f"trial {row['trial']}: {row['doing']}" for row in progress["at_work"]),
    )
