"""The routes of ``/api/v1``: each answers with one document of :mod:`dashboards.documents`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from dashboards.api.events import job_events
from dashboards.documents.candidates import candidate_document
from dashboards.documents.capability import capability_document
from dashboards.documents.devices import device_document, devices_document
from dashboards.documents.front import front_document
from dashboards.documents.jobs import status_of
from dashboards.documents.layers import layers_document
from dashboards.documents.reports import Reports
from dashboards.documents.trials import trials_of
from search.store import Store

Json = dict[str, Any]
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def api_router(store: Store, reports: Reports) -> APIRouter:
    """Returns all of ``/api/v1`` over one store. ``{job}`` is an id, an unambiguous prefix, or a name (the newest such
    job)."""
    router = APIRouter(prefix="/api/v1", tags=["v1"])

    @router.get("/jobs", summary="All jobs, the newest first")
    def jobs() -> Json:
        return reports.jobs_document()

    @router.get("/jobs/{job}", summary="State, progress and budget of a job")
    def job_status(job: str) -> Json:
        return status_of(reports.read(job))

    @router.get("/jobs/{job}/front", summary="A job's Pareto front")
    def front(job: str, device: str | None = None) -> Json:
        return front_document(store, job, device, reports.read(job))

    @router.get("/jobs/{job}/trials", summary="Every candidate of a job with its objectives")
    def trials(job: str, device: str | None = None) -> Json:
        return trials_of(reports.read(job).on(device))

    @router.get("/jobs/{job}/layers", summary="What each layer of a job's model takes on its devices")
    def layers(job: str) -> Json:
        return layers_document(store, job)

    @router.get("/candidates/{candidate}", summary="All that is known of one candidate")
    def candidate(candidate: str) -> Json:
        return candidate_document(store, candidate)

    @router.get("/devices", summary="All devices; remote ones with the state of their agents")
    def devices() -> Json:
        return devices_document(store)

    @router.get("/devices/{device}", summary="A device's profile, or why it is not available")
    def device(device: str) -> Json:
        return device_document(device, store)

    @router.get("/devices/{device}/capability", summary="What a device can do, as it answered when it was probed")
    def device_capability(device: str) -> Json:
        return capability_document(store, device)

    @router.get("/jobs/{job}/events", summary="Server-sent events while a job runs", response_class=StreamingResponse)
    async def events(job: str, request: Request) -> StreamingResponse:
        # Read once before the answer starts, so that an unknown job is a problem and not an empty stream.
        version = await run_in_threadpool(reports.version, job)
        stream = job_events(reports, version.job_id, request.app.state.stopping)
        return StreamingResponse(stream, media_type="text/event-stream", headers=_STREAM_HEADERS)

    return router
