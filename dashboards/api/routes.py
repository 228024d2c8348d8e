"""The routes of ``/api/v1``: each answers with one document of the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dashboards.access import Identity
from dashboards.access.gate import READ, SUBMIT
from dashboards.access.streams import while_identified
from dashboards.api.answers import answer, answer_at
from dashboards.api.description import body_of
from dashboards.api.events import JobFeed, LogFeed
from dashboards.api.feeds import Feeds
from dashboards.api.query import CHECKED_QUERY
from dashboards.documents.reports import Reports
from dashboards.service.base import LINES, LONGEST_PAGE, PAGE
from dashboards.service.exporting import ExportOptions
from dashboards.service.local import LocalService
from dashboards.service.submission import Submission, SubmittedOptions
from dashboards.words import Json
from search.states import JobState
from search.store import Store

_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "Server-sent events, each with a JSON document as its data",
    }
}
_MOST = 2**53
"""Whole numbers up to here are the same in every client."""

ServiceOf = Callable[[Identity], LocalService]
"""The service as somebody may use it."""

Job = Annotated[str, Path(description="Id of a job, a prefix of it, its name or short name", max_length=255)]
Candidate = Annotated[str, Path(description="Id of a candidate, or a prefix of it", max_length=255)]
Device = Annotated[str, Path(description="Name of a device", max_length=255)]
Export = Annotated[str, Path(description="Id of an export", max_length=255)]
OnDevice = Annotated[str | None, Query(description="One of the job's devices", max_length=255)]
Filter = Annotated[str | None, Query(max_length=255)]
Limit = Annotated[int, Query(description="Most entries of the page", ge=1, le=LONGEST_PAGE)]
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="Two requests with one key do one thing", max_length=255),
]
Given = Annotated[Json, Body()]
GivenIfAny = Annotated[Json | None, Body()]
LastEvent = Annotated[str | None, Header(alias="Last-Event-ID", max_length=255)]


def api_router(store: Store, reports: Reports, service_of: ServiceOf) -> APIRouter:
    """Returns all of ``/api/v1`` over one store, except for that of agents."""
    router = APIRouter(prefix="/api/v1", tags=["v1"], dependencies=[CHECKED_QUERY])
    _add_jobs(router, service_of)
    _add_requests(router, service_of)
    _add_results(router, service_of)
    _add_streams(router, service_of, store, reports)
    _add_exports(router, service_of)
    _add_devices(router, service_of)
    return router


def _add_jobs(router: APIRouter, service_of: ServiceOf) -> None:
    @router.get("/jobs", summary="Jobs, the newest first, a page at a time", response_model=Json)
    def jobs(
        request: Request,
        state: Annotated[str | None, Query(description="One of: " + ", ".join(JobState), max_length=32)] = None,
        user: Filter = None,
        project: Filter = None,
        name: Filter = None,
        device: Filter = None,
        limit: Limit = PAGE,
        cursor: Filter = None,
        identity: Identity = READ,
    ) -> Response:
        filters = {"state": state, "user": user, "project": project, "name": name, "device": device}
        given = {key: value for key, value in filters.items() if value is not None}
        return answer(request, service_of(identity).jobs(given, limit=limit, cursor=cursor))

    @router.get("/jobs/{job}", summary="State, progress and budget of a job", response_model=Json)
    def job_status(request: Request, job: Job, identity: Identity = READ) -> Response:
        return answer(request, service_of(identity).job(job))

    @router.post("/jobs", summary="Submits a job", status_code=201, response_model=Json,
                 openapi_extra=body_of(Submission))  # fmt: skip
    def submit(request: Request, submission: Given, key: Key = None, identity: Identity = SUBMIT) -> Response:
        return _made(request, service_of(identity).submit(submission, key))

    @router.post("/jobs/{job}/clone", summary="Submits a job like another one", status_code=201, response_model=Json,
                 openapi_extra=body_of(SubmittedOptions, required=False))  # fmt: skip
    def clone(
        request: Request, job: Job, options: GivenIfAny = None, key: Key = None,
        identity: Identity = SUBMIT,
    ) -> Response:  # fmt: skip
        return _made(request, service_of(identity).clone(job, options or {}, key))


def _made(request: Request, document: Json) -> Response:
    return answer(request, document, 201, {"Location": f"/api/v1/jobs/{document['job_id']}"})


def _add_requests(router: APIRouter, service_of: ServiceOf) -> None:
    @router.post("/jobs/{job}/cancel", summary="Ends a job; what is finished stays", response_model=Json)
    def cancel(request: Request, job: Job, identity: Identity = SUBMIT) -> Response:
        return answer(request, service_of(identity).cancel(job))

    @router.post("/jobs/{job}/pause", summary="Stops a job until it is resumed", response_model=Json)
    def pause(request: Request, job: Job, identity: Identity = SUBMIT) -> Response:
        return answer(request, service_of(identity).pause(job))

    @router.post("/jobs/{job}/resume", summary="Queues a job again that has not ended as done", response_model=Json)
    def resume(request: Request, job: Job, identity: Identity = SUBMIT) -> Response:
        return answer(request, service_of(identity).resume(job))

    @router.delete("/jobs/{job}", summary="Removes a job that has ended, with its results", status_code=204)
    def delete(job: Job, identity: Identity = SUBMIT) -> None:
        service_of(identity).delete(job)


def _add_results(router: APIRouter, service_of: ServiceOf) -> None:
    @router.get("/jobs/{job}/front", summary="A job's Pareto front", response_model=Json)
    def front(
        request: Request, job: Job, device: OnDevice = None,
        version: Annotated[int | None, Query(description="An earlier front, counted from 1", ge=1, le=_MOST)] = None,
        identity: Identity = READ,
    ) -> Response:  # fmt: skip
        service = service_of(identity)
        known = service.version(job)
        return answer_at(request, known, lambda: service.front(known.job_id, device=device, version=version))

    @router.get("/jobs/{job}/trials", summary="A job's candidates with their objectives", response_model=Json)
    def trials(
        request: Request, job: Job, device: OnDevice = None,
        state: Annotated[str | None, Query(description="A state, or failed for all failures", max_length=32)] = None,
        sort: Annotated[str, Query(description="trial or a metric; with -: highest first", max_length=255)] = "trial",
        limit: Annotated[int | None, Query(description="All without it", ge=1, le=LONGEST_PAGE)] = None,
        cursor: Annotated[int | None, Query(description="The next of the last page", ge=0, le=_MOST)] = None,
        identity: Identity = READ,
    ) -> Response:  # fmt: skip
        service = service_of(identity)
        known = service.version(job)
        page: Json = {"state": state, "sort": sort, "limit": limit, "cursor": cursor}
        return answer_at(request, known, lambda: service.candidates(known.job_id, device=device, **page))

    @router.get("/jobs/{job}/layers", summary="What each layer of a job's model takes", response_model=Json)
    def layers(request: Request, job: Job, identity: Identity = READ) -> Response:
        service = service_of(identity)
        known = service.version(job)
        return answer_at(request, known, lambda: service.layers(known.job_id))

    @router.get("/jobs/{job}/learning", summary="The rewards that a job's strategy learnt from", response_model=Json)
    def learning(request: Request, job: Job, identity: Identity = READ) -> Response:
        return answer(request, service_of(identity).learning(job))

    # Without a method for paths: JOB/NUMBER has a slash.
    @router.get("/candidates/{candidate:path}", summary="All that is known of one candidate", response_model=Json)
    def candidate(request: Request, candidate: Candidate, identity: Identity = READ) -> Response:
        return answer(request, service_of(identity).candidate(candidate))


def _add_streams(router: APIRouter, service_of: ServiceOf, store: Store, reports: Reports) -> None:
    feeds = Feeds()

    @router.get("/jobs/{job}/events", summary="What changes in a job, as it happens", responses=_EVENTS)
    async def events(
        request: Request, job: Job, last: LastEvent = None, identity: Identity = READ
    ) -> StreamingResponse:
        # Before the answer starts, so that an unknown job is a problem and not an empty stream.
        job_id = (await run_in_threadpool(service_of(identity).version, job)).job_id
        feed = feeds.get(("job", job_id), lambda: JobFeed(store, reports, job_id, request.app.state.stopping))
        stream = while_identified(request, identity, feed.stream(last))
        return StreamingResponse(stream, media_type="text/event-stream", headers=_STREAM_HEADERS)

    @router.get("/jobs/{job}/logs", summary="Lines of a job's log", response_model=Json)
    def logs(
        request: Request, job: Job,
        after: Annotated[int, Query(description="Id of the last line that is known", ge=0, le=_MOST)] = 0,
        limit: Limit = LINES,
        identity: Identity = READ,
    ) -> Response:  # fmt: skip
        return answer(request, service_of(identity).logs(job, after=after, limit=limit))

    @router.get("/jobs/{job}/logs/events", summary="A job's log, as it is written", responses=_EVENTS)
    async def log_events(
        request: Request, job: Job, last: LastEvent = None, identity: Identity = READ
    ) -> StreamingResponse:
        job_id = (await run_in_threadpool(service_of(identity).version, job)).job_id
        line = await run_in_threadpool(store.logs.last, job_id)
        feed = feeds.get(("log", job_id), lambda: LogFeed(store, job_id, line, request.app.state.stopping))
        stream = while_identified(request, identity, feed.stream(last))
        return StreamingResponse(stream, media_type="text/event-stream", headers=_STREAM_HEADERS)


def _add_exports(router: APIRouter, service_of: ServiceOf) -> None:
    @router.post("/candidates/{candidate:path}/exports", summary="Asks a worker to export a candidate",
                 status_code=201, response_model=Json,
                 openapi_extra=body_of(ExportOptions, required=False))  # fmt: skip
    def export(
        request: Request, candidate: Candidate, options: GivenIfAny = None, key: Key = None,
        identity: Identity = SUBMIT,
    ) -> Response:  # fmt: skip
        document = service_of(identity).export(candidate, options or {}, key)
        return answer(request, document, 201, {"Location": f"/api/v1/exports/{document['export_id']}"})

    @router.get("/exports/{export}", summary="State of an export, with its receipt", response_model=Json)
    def export_state(request: Request, export: Export, identity: Identity = READ) -> Response:
        return answer(request, service_of(identity).export_state(export))

    @router.post("/exports/{export}/cancel", summary="Ends an export; nothing of it stays", response_model=Json)
    def cancel_export(request: Request, export: Export, identity: Identity = SUBMIT) -> Response:
        return answer(request, service_of(identity).cancel_export(export))

    @router.get("/exports/{export}/bundle", summary="The model with its manifest and receipt, as a zip file",
                response_class=FileResponse, responses={200: {"content": {"application/zip": {}}}})  # fmt: skip
    def bundle(export: Export, identity: Identity = READ) -> FileResponse:
        path = service_of(identity).bundle_file(export)
        return FileResponse(path, media_type="application/zip", filename=f"{export}.zip")


def _add_devices(router: APIRouter, service_of: ServiceOf) -> None:
    @router.get("/devices", summary="All devices; remote ones with the state of their agents", response_model=Json)
    def devices(request: Request, revoked: bool = False, identity: Identity = READ) -> Response:
        return answer(request, service_of(identity).devices(revoked=revoked))

    @router.get("/devices/{device}", summary="A device's profile, or why it is not available", response_model=Json)
    def device(request: Request, device: Device, identity: Identity = READ) -> Response:
        return answer(request, service_of(identity).device(device))

    @router.get("/devices/{device}/capability", summary="What a device can do, as it was probed", response_model=Json)
    def device_capability(request: Request, device: Device, identity: Identity = READ) -> Response:
        return answer(request, service_of(identity).capability(device))

    @router.get("/workers", summary="The workers that run queued jobs", response_model=Json)
    def workers(request: Request, identity: Identity = READ) -> Response:
        return answer(request, service_of(identity).workers())
