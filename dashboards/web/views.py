"""The pages' routes. Every page is complete without scripts; scripts draw the chart and update the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from dashboards.documents.candidates import candidate_document
from dashboards.documents.capability import devices_with_capability, latest_capability
from dashboards.documents.devices import device_document, devices_document
from dashboards.documents.front import front_of
from dashboards.documents.jobs import job_of
from dashboards.documents.layers import layers_document
from dashboards.documents.reports import Reports
from dashboards.documents.trials import trials_of
from dashboards.web.heat import capability_context
from dashboards.web.rendering import has_chart_library, render, views_context
from hwprofiles.errors import NotFound
from search.store import Store

STATIC = Path(__file__).parent / "static"


def mount_pages(app: FastAPI, store: Store, reports: Reports) -> None:
    """Adds the pages and their static files. ``/live/…`` returns only the changing part of a page."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/")
    def jobs() -> str:
        return render("jobs.html", **reports.jobs_document())

    @router.get("/live/jobs")
    def live_jobs() -> str:
        return render("_jobs.html", **reports.jobs_document())

    @router.get("/jobs/{job}")
    def job(job: str) -> str:
        context = _job_context(reports, job)
        layers = layers_document(store, context["job"]["job_id"])
        devices, names = devices_with_capability(store), dict.fromkeys((context["job"]["device"], *layers["devices"]))
        probed = [name for name in names if name in devices]
        return render("job.html", vendored=has_chart_library(), layers=layers, probed=probed, **context)

    @router.get("/live/jobs/{job}")
    def live_job(job: str) -> str:
        return render("_job.html", **_job_context(reports, job))

    @router.get("/candidates/{candidate}")
    def candidate(candidate: str) -> str:
        return render("candidate.html", candidate=candidate_document(store, candidate))

    @router.get("/devices")
    def devices() -> str:
        return render("devices.html", **devices_document(store))

    @router.get("/devices/{device}")
    def device(device: str) -> str:
        capability = latest_capability(store, device)
        try:
            document = device_document(device, store)
        except NotFound:
            if capability is None:
                raise
            document = None  # probed once, and removed since
        context = {} if capability is None else capability_context(capability)
        return render("device.html", vendored=has_chart_library(), name=device, device=document, **context)

    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def problem_page(status: int, detail: str, hint: str) -> HTMLResponse:
    """Returns an error as a page: what is wrong, and how to fix it."""
    return HTMLResponse(render("problem.html", status=status, detail=detail, hint=hint), status_code=status)


def _job_context(reports: Reports, job: str) -> dict[str, Any]:
    report = reports.read(job)
    front, trials = front_of(report), trials_of(report)
    return {
        "job": job_of(report),
        "answer": front["answer"] if "fronts" not in front else None,
        "coverage": report.coverage,
        "ended": report.job.state.ended,
        "linked": True,
        **views_context(front, trials),
    }
