"""A job's changes as server-sent events.

Four kinds of event, each with one JSON document:

``job``     the status document, whenever it changed
``front``   the front document, whenever it changed
``trials``  the trials document with only the rows that are new or changed since the last one (at first: all)
``end``     ``{"state": …}``: the job is final, nothing more will come; close the stream

A store that cannot be read ends the stream with a ``problem`` event; the browser then reconnects by itself. The first
three come right after connecting, so that a reconnected reader has missed nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from dashboards.api.problems import problem, problem_status
from dashboards.documents.front import front_of
from dashboards.documents.jobs import job_of
from dashboards.documents.report import JobReport
from dashboards.documents.reports import Reports
from dashboards.documents.trials import trials_of
from hwprofiles.errors import ParetuneError

POLL_S = 1.0
HEARTBEAT_S = 15.0
_RETRY_MS = 2000
_LOOK_S = 0.25
_READING_SHARE = 0.1  # a long job is polled less often: reading takes at most this share of the time


async def job_events(reports: Reports, job_id: str, stopping: threading.Event) -> AsyncIterator[str]:
    """Yields the event stream of a job, until the job is final or ``stopping`` is set.

    The store is read in a thread, and only after a change.
    """
    changes = Changes()
    spoken = time.monotonic()
    yield f"retry: {_RETRY_MS}\n\n"
    while not stopping.is_set():
        started = time.monotonic()
        try:
            report = await run_in_threadpool(reports.read, job_id)
        except ParetuneError as error:
            yield event("problem", problem(problem_status(error), error.message, error.hint))
            return
        for name, document in await run_in_threadpool(changes.since_last, report):
            yield event(name, document)
            spoken = time.monotonic()
        if report.job.state.ended:
            yield event("end", {"state": str(report.job.state)})
            return
        if time.monotonic() - spoken >= HEARTBEAT_S:
            yield ": still here\n\n"
            spoken = time.monotonic()
        await _pause(max(POLL_S, (time.monotonic() - started) / _READING_SHARE), stopping)


async def _pause(seconds: float, stopping: threading.Event) -> None:
    """Waits so long, or until the server stops."""
    until = time.monotonic() + seconds
    while not stopping.is_set() and (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left, _LOOK_S))


def event(name: str, document: dict[str, Any]) -> str:
    """Returns one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(document, separators=(',', ':'))}\n\n"


@dataclass
class Changes:
    """The documents that one reader has received."""

    _documents: dict[str, Any] = field(default_factory=dict)
    _rows: dict[int, Any] = field(default_factory=dict)
    _report: JobReport | None = None

    def since_last(self, report: JobReport) -> list[tuple[str, dict[str, Any]]]:
        """Returns the events that bring the reader up to date with this report."""
        changed = self._if_new("job", job_of(report))
        if report is self._report:  # only its workers' activity can have changed
            return changed
        self._report = report
        changed += self._if_new("front", front_of(report))
        trials = trials_of(report)
        rows = [row for row in trials["trials"] if self._rows.get(row["trial"]) != row]
        head = {key: value for key, value in trials.items() if key != "trials"}
        if rows or self._documents.get("trials") != head:
            self._documents["trials"] = head
            self._rows.update({row["trial"]: row for row in rows})
            changed.append(("trials", head | {"trials": rows}))
        return changed

    def _if_new(self, name: str, document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        if self._documents.get(name) == document:
            return []
        self._documents[name] = document
        return [(name, document)]
