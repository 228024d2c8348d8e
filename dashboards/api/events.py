"""A job's changes as server-sent events.

Four kinds of event, each with one JSON document:

``job``     the status document, whenever it changed
``front``   the front document, whenever it changed
``trials``  the trials document with only the rows that are new or changed since the last one (at first: all)
``end``     ``{"state": …}``: the job is final, nothing more will come; close the stream

A store that cannot be read ends the stream with a ``problem`` event; the browser then reconnects by itself. A reader
that returns with the id of its last event gets what it has missed, if the server still has that; otherwise the first
three kinds come right after connecting, complete.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from dashboards.api.feeds import RETRY, Event, Feed, events_behind
from dashboards.documents.front import front_of
from dashboards.documents.jobs import job_of
from dashboards.documents.logs import line_of
from dashboards.documents.report import JobReport
from dashboards.documents.reports import Reports
from dashboards.documents.trials import trials_of
from dashboards.words import Json
from search.states import JobState
from search.store import Store

_KEPT = 200
"""Events that a reader may have missed."""


class JobFeed(Feed):
    """The changes of one job."""

    def __init__(self, store: Store, reports: Reports, job_id: str, stopping: threading.Event) -> None:
        super().__init__(stopping)
        self._store, self._reports, self._job_id = store, reports, job_id
        self._prefix = f"{secrets.token_hex(4)}-"
        # Written in the thread that polls, read in those that welcome readers.
        self._lock = threading.Lock()
        self._changes = Changes()
        self._number = 0
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._everything: tuple[int, list[Event]] = (0, [])

    def poll(self) -> tuple[Sequence[Event], bool]:
        """See :meth:`Feed.poll`."""
        report = self._reports.read(self._job_id)
        state = report.job.state
        waiting = self._store.waiting.reasons([self._job_id]) if state is JobState.QUEUED else {}
        with self._lock:
            changed = self._changes.since_last(report, waiting.get(self._job_id))
            events = [self._event(name, document) for name, document in changed]
            self._kept.extend(events)
        end = [Event.of("end", {"state": str(state)})] if state.ended else []
        return events + end, state.ended

    async def stream(self, last_id: str | None) -> AsyncGenerator[bytes, None]:
        """Yields the stream of a reader, who has all events up to ``last_id``."""
        with self.subscribe() as queue:
            yield RETRY
            number, events = await run_in_threadpool(self._missed, last_id or "")
            for event in events:
                yield event.data
            async for data in events_behind(queue, number):
                yield data

    def _missed(self, last_id: str) -> tuple[int, list[Event]]:
        """Returns what brings a reader up to date: the events behind the last one, or everything as it is now.

        With the number of the last event that this includes.
        """
        with self._lock:
            last = last_id.removeprefix(self._prefix)
            if self._kept and last_id.startswith(self._prefix) and last.isdecimal() and len(last) < 16:
                newer = [event for event in self._kept if (event.number or 0) > int(last)]
                if len(newer) < len(self._kept) or self._number < _KEPT:
                    return self._number, newer
            if self._everything[0] != self._number:
                documents = self._changes.everything()
                self._everything = (
                    self._number, [Event.of(*document, self._number, self._prefix) for document in documents],
                )  # fmt: skip
            return self._everything

    def _event(self, name: str, document: Json) -> Event:
        self._number += 1
        return Event.of(name, document, self._number, self._prefix)


class LogFeed(Feed):
    """The lines of a job's log behind the line ``last``; the id of an event is that of its line."""

    def __init__(self, store: Store, job_id: str, last: int, stopping: threading.Event) -> None:
        super().__init__(stopping)
        self._store, self._job_id, self._last = store, job_id, last

    def poll(self) -> tuple[Sequence[Event], bool]:
        """See :meth:`Feed.poll`."""
        state = self._store.jobs.get(self._job_id).state  # first: no line comes after the end
        rows = self._store.logs.of_job(self._job_id, self._last)
        self._last = rows[-1].id if rows else self._last
        end = [Event.of("end", {"state": str(state)})] if state.ended else []
        return [Event.of("line", line_of(row), row.id) for row in rows] + end, state.ended

    async def stream(self, last_id: str | None) -> AsyncGenerator[bytes, None]:
        """Yields the stream of a reader, who has all lines up to ``last_id``."""
        last = int(last_id) if last_id and last_id.isdecimal() and len(last_id) < 16 else 0
        with self.subscribe() as queue:
            yield RETRY
            while rows := await run_in_threadpool(self._store.logs.of_job, self._job_id, last):
                for row in rows:
                    yield Event.of("line", line_of(row), row.id).data
                last = rows[-1].id
            async for data in events_behind(queue, last):
                yield data


@dataclass
class Changes:
    """The documents that readers have received."""

    _documents: dict[str, Any] = field(default_factory=dict)
    _rows: dict[int, Any] = field(default_factory=dict)
    _report: JobReport | None = None

    def since_last(self, report: JobReport, waiting: str | None = None) -> list[tuple[str, Json]]:
        """Returns the events that bring readers up to date with this report, and why its job is ``waiting``."""
        changed = self._if_new("job", job_of(report) | {"waiting": waiting})
        if report is self._report:  # only its workers' activity can have changed
            return changed
        self._report = report
        changed += self._if_new("front", front_of(report))
        trials = trials_of(report)
        rows = [row for row in trials["trials"] if self._rows.get(row["trial"]) != row]
        head = {key: value for key, value in trials.items() if key != "trials"}
        if rows or self._documents.get("trials") != head:
            self._documents["trials"] = head
            self._rows = {row["trial"]: row for row in trials["trials"]}
            changed.append(("trials", head | {"trials": rows}))
        return changed

    def everything(self) -> list[tuple[str, Json]]:
        """Returns the events that bring a new reader up to date with the last report."""
        documents = list(self._documents.items())
        rows = list(self._rows.values())
        return [(name, value | {"trials": rows} if name == "trials" else value) for name, value in documents]

    def _if_new(self, name: str, document: Json) -> list[tuple[str, Json]]:
        if self._documents.get(name) == document:
            return []
        self._documents[name] = document
        return [(name, document)]
