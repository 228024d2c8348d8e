"""The client of a server: submit jobs, follow them, read their fronts, export candidates."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

from dashboards.cli.console import ProgressBar, as_text
from dashboards.cli.exporting import check_verdict
from dashboards.cli.following import status_of
from dashboards.cli.options import print_report
from dashboards.service.base import LINES
from dashboards.service.bundles import export_there
from dashboards.service.choice import choose_server
from dashboards.service.outgoing import options_document, read_submission
from dashboards.service.remote import RemoteService
from hwprofiles.errors import InvalidInput, ParetuneError
from paretune.candidates import Candidate, Json, baseline_of, fields_of
from paretune.hints import hints_shown
from search.job.job_options import JobOptions
from search.states import JobState

if TYPE_CHECKING:
    from pandas import DataFrame

LOOK_S = 1.0
"""Seconds between two looks at a job that is waited for."""


class Client:
    """The jobs of a server, as the user of a token may use them.

    Answers that were lost are asked for again, and nothing is done twice. Safe for several threads.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        """By default the server of ``PARETUNE_SERVER`` or ``paretune login``, with the token of ``PARETUNE_TOKEN`` or
        that login."""
        server = choose_server(url)
        if server is None:
            raise InvalidInput("no server is named", "name one: paretune.Client(URL, TOKEN), or: paretune login URL")
        self.url = server.server
        self._service = RemoteService(server.server, token or server.token)

    def close(self) -> None:
        """Closes all connections."""
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @hints_shown()
    def submit(
        self,
        target: str | os.PathLike[str] | Mapping[str, Any],
        *,
        data: str | os.PathLike[str] | None = None,
        device: str | Sequence[str] = (),
        objectives: Sequence[str] = (),
        constraints: Sequence[str] = (),
        minutes: float | None = None,
        trials: int | None = None,
        space: Sequence[str] = (),
        seed: int | None = None,
        name: str | None = None,
        project: str | None = None,
        priority: int = 0,
        after: Sequence[Job | str] = (),
        key: str | None = None,
    ) -> Job:
        """Submits a job and returns it; takes what ``paretune submit`` takes.

        Args:
            target: An ONNX model, a job file, the contents of one, or the name of a task.
            data: A NumPy archive of samples for an ONNX model; random inputs without it.
            device: One device, or several.
            objectives: Metrics such as ``accuracy`` or ``size_bytes:min``.
            constraints: Such as ``accuracy >= baseline - 0.01``.
            minutes: For everything: preparing, searching and the final measurements.
            trials: Most candidates to try.
            space: Names of techniques.
            seed: Seed of the search.
            name: The job's name; default: the file's.
            project: The project that it belongs to.
            priority: Of your own queued jobs, the one with the highest begins first.
            after: Jobs that must be done before.
            key: A second submission with the same key makes no second job.
        """
        options = JobOptions(
            data=None if data is None else Path(data), devices=_as_list(device), objectives=_as_list(objectives),
            constraints=_as_list(constraints), space=_as_list(space), minutes=minutes, trials=trials, seed=seed,
            name=name,
        )  # fmt: skip
        place = {"project": project, "priority": priority or None, "after": [_id_of(job) for job in after] or None}
        given = {key: value for key, value in place.items() if value is not None}
        if isinstance(target, Mapping):
            document = {"job": dict(target), "options": options_document(options), **given}
            return Job(self._service, self._service.submit(document, key))
        submission = read_submission(os.fspath(target), options, local=False)
        submission.document.update(given)
        return Job(self._service, submission.send(self._service, key))

    @hints_shown()
    def job(self, job: str) -> Job:
        """Returns a job by its id, a prefix of it, its name or short name."""
        return Job(self._service, self._service.job(job))

    @hints_shown()
    def jobs(
        self,
        *,
        state: str | None = None,
        user: str | None = None,
        project: str | None = None,
        name: str | None = None,
        device: str | None = None,
    ) -> Iterator[Job]:
        """Yields the jobs that you may see, the newest first."""
        filters = {"state": state, "user": user, "project": project, "name": name, "device": device}
        given, cursor = {key: value for key, value in filters.items() if value is not None}, None
        while True:
            page = self._service.jobs(given, cursor=cursor)
            yield from (Job(self._service, document) for document in page["jobs"])
            cursor = page["next"]
            if cursor is None:
                return

    @hints_shown()
    def devices(self) -> list[dict[str, Any]]:
        """Returns the documents of all devices, as ``paretune devices list --format json`` prints them."""
        return list(self._service.devices()["devices"])

    def __repr__(self) -> str:
        return f"paretune.Client({self.url!r})"


@dataclass(frozen=True)
class JobStatus:
    """Where a job stands."""

    state: str
    """``queued``, ``running``, ``paused``, ``interrupted``, ``cancelled``, ``failed`` or ``done``."""
    doing: str
    """What is going on, in words; empty if nothing is."""
    finished: int
    """Candidates that have a result."""
    planned: int | None
    """Candidates to try at most."""
    front_size: int
    best_speedup: float | None
    answer: str | None
    """What the best compromise gains and costs, in one sentence; None while nothing is known yet."""
    error: str | None
    """Why it failed."""
    document: Json = field(repr=False)
    """The whole JSON document."""

    @classmethod
    def of(cls, document: Json) -> JobStatus:
        """Returns the status in a job's document."""
        progress = document["progress"]
        return cls(
            state=document["state"],
            doing=": ".join(filter(None, [progress["phase"], progress["message"]])),
            finished=progress["finished"],
            planned=progress["planned"],
            front_size=document["front_size"],
            best_speedup=document["best_speedup"],
            answer=document.get("answer"),
            error=document["error"],
            document=document,
        )


class Job:
    """A job on a server."""

    def __init__(self, service: RemoteService, document: Json) -> None:
        self._service = service
        self.job_id = str(document["job_id"])
        self.name = str(document["name"])

    @property
    def status(self) -> JobStatus:
        """Where it stands now."""
        return JobStatus.of(self._service.job(self.job_id))

    @property
    def state(self) -> str:
        """Its state now."""
        return self.status.state

    @hints_shown()
    def wait(self, timeout_s: float | None = None, *, progress: bool = True) -> Job:
        """Waits until the job is done and returns it. Ctrl-C leaves the job as it is.

        Raises :class:`ParetuneError` for a job that ends otherwise, ``TimeoutError`` after ``timeout_s``.
        """
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        with ProgressBar(shown=progress) as bar:
            while True:
                document = self._service.job(self.job_id)
                state = JobState(document["state"])
                if state.ended:
                    break
                if ends_at is not None and time.monotonic() > ends_at:
                    raise TimeoutError(f"job {self.job_id} is still {state}")
                bar.update(status_of(document))
                time.sleep(LOOK_S)
        if state is not JobState.DONE:
            why = f": {document['error']}" if document["error"] else ""
            raise ParetuneError(f"job {self.job_id} is {state}{why}", document["hint"] or "go on with: job.resume()")
        return self

    @hints_shown()
    def front(self, device: str | None = None) -> ServedFront:
        """Returns the front as it is now, on the first device or the given one."""
        return ServedFront(self._service, self._service.front(self.job_id, device=device), device)

    @hints_shown()
    def candidates(self, *, state: str | None = None, device: str | None = None) -> list[dict[str, Any]]:
        """Returns a row for each candidate: its state, its objectives' values and what it changes."""
        return list(self._service.candidates(self.job_id, state=state, device=device)["trials"])

    @hints_shown()
    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Yields the lines of its log; with ``follow`` until the job ends."""
        after = 0
        while True:
            over = not follow or JobState(self.state).ended  # before reading: no line comes after
            while True:
                page = self._service.logs(self.job_id, after=after)
                yield from (line["text"] for line in page["lines"])
                after = page["last"] or after
                if len(page["lines"]) < LINES:
                    break
            if over:
                return
            time.sleep(LOOK_S)

    @hints_shown()
    def cancel(self) -> None:
        """Ends it for good, within seconds; what is finished stays."""
        self._service.cancel(self.job_id)

    @hints_shown()
    def pause(self) -> None:
        """Stops it within seconds, until it is resumed."""
        self._service.pause(self.job_id)

    @hints_shown()
    def resume(self) -> None:
        """Queues it again."""
        self._service.resume(self.job_id)

    @hints_shown()
    def delete(self) -> None:
        """Removes it with all of its results, once it has ended."""
        self._service.delete(self.job_id)

    def __repr__(self) -> str:
        return f"<job {self.job_id} ({self.name})>"


@dataclass(frozen=True)
class ServedCandidate(Candidate):
    """A member of a front on a server."""

    service: RemoteService = field(kw_only=True, repr=False, compare=False)
    device: str | None = field(default=None, kw_only=True, repr=False)
    """The device whose front it is of, if one was named."""

    @hints_shown()
    def export(
        self, folder: str | os.PathLike[str], *, wait_quiet_s: float = 0.0, progress: bool = True
    ) -> dict[str, Any]:
        """Has a worker build and measure the model again, and writes it with its receipt to a new folder; returns the
        receipt.

        Raises :class:`ParetuneError` if the file does not reproduce the measured result.
        """
        options = {"wait_quiet_s": wait_quiet_s, **({} if self.device is None else {"device": self.device})}
        with ProgressBar(shown=progress) as bar:
            receipt = export_there(self.service, self.candidate_id, Path(folder), options, bar.say)
        check_verdict(receipt, Path(folder))
        return receipt


class ServedFront(Sequence[ServedCandidate]):
    """The members of a front on a server; shows as a table."""

    def __init__(self, service: RemoteService, document: Json, device: str | None) -> None:
        self.document = document
        """The front's JSON document, as ``paretune front --format json`` prints it."""
        self._device = device
        self._members = [ServedCandidate(**fields_of(row), service=service, device=device) for row in document["front"]]

    @property
    def baseline(self) -> Candidate:
        """The model itself, with its figures on the same device."""
        return baseline_of(self.document)

    @property
    def best(self) -> ServedCandidate | None:
        """The best compromise, never the model itself; None if there is none."""
        named = self.document["best_compromise"]
        return next((member for member in self if member.candidate_id == named), None)

    @property
    def answer(self) -> str | None:
        """What the best compromise gains and costs, in one sentence; None while nothing is known yet."""
        answer: str | None = self.document["answer"]
        return answer

    def to_frame(self) -> DataFrame:
        """Returns a pandas table of the members' figures; needs pandas."""
        from pandas import DataFrame

        rows = [{"candidate_id": one.candidate_id, **one.metrics, "summary": one.summary} for one in self]
        return DataFrame(rows).set_index("candidate_id") if rows else DataFrame()

    @overload
    def __getitem__(self, place: int) -> ServedCandidate: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[ServedCandidate]: ...
    def __getitem__(self, place: int | slice) -> ServedCandidate | Sequence[ServedCandidate]:
        return self._members[place]

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return as_text(lambda: print_report(dict(self.document), self._device))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def _as_list(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _id_of(job: Job | str) -> str:
    return job if isinstance(job, str) else job.job_id
