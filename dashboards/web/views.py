"""The pages' routes. Every page is complete without scripts; scripts draw the chart and update the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from dashboards.access import Identity
from dashboards.access.gate import READ
from dashboards.access.oidc import OidcProvider
from dashboards.api.routes import ServiceOf
from dashboards.documents.capability import devices_with_capability, latest_capability
from dashboards.documents.front import front_of
from dashboards.documents.jobs import job_of, with_waiting
from dashboards.documents.learning import learning_document
from dashboards.documents.report import JobReport
from dashboards.documents.trials import trials_of
from dashboards.web.heat import capability_context
from dashboards.web.rendering import has_chart_library, render, views_context
from dashboards.web.sign_in import sign_in_router
from dashboards.web.tokens import tokens_router
from hwprofiles.errors import NotFound
from search.store import Store

LIVE_PATHS = "/live/"
STATIC = Path(__file__).parent / "static"


def mount_pages(app: FastAPI, store: Store, service_of: ServiceOf, provider: OidcProvider | None = None) -> None:
    """Adds the pages and their static files. ``/live/…`` returns only the changing part of a page.

    ``provider`` signs users in too.
    """
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/")
    def jobs(cursor: str | None = None, identity: Identity = READ) -> str:
        return render("jobs.html", cursor=cursor, **service_of(identity).jobs(cursor=cursor))

    @router.get("/live/jobs")
    def live_jobs(cursor: str | None = None, identity: Identity = READ) -> str:
        return render("_jobs.html", **service_of(identity).jobs(cursor=cursor))

    @router.get("/jobs/{job}")
    def job(job: str, identity: Identity = READ) -> str:
        service = service_of(identity)
        context = _job_context(store, service.report(job))
        layers = service.layers(context["job"]["job_id"])
        devices, names = devices_with_capability(store), dict.fromkeys((context["job"]["device"], *layers["devices"]))
        probed = [name for name in names if name in devices]
        return render("job.html", vendored=has_chart_library(), layers=layers, probed=probed, **context)

    @router.get("/live/jobs/{job}")
    def live_job(job: str, identity: Identity = READ) -> str:
        return render("_job.html", **_job_context(store, service_of(identity).report(job)))

    @router.get("/candidates/{candidate:path}")
    def candidate(candidate: str, identity: Identity = READ) -> str:
        return render("candidate.html", candidate=service_of(identity).candidate(candidate))

    @router.get("/devices")
    def devices(identity: Identity = READ) -> str:
        return render("devices.html", **service_of(identity).devices())

    @router.get("/devices/{device}")
    def device(device: str, identity: Identity = READ) -> str:
        capability = latest_capability(store, device)
        try:
            document = service_of(identity).device(device)
        except NotFound:
            if capability is None:
                raise
            document = None  # probed once, and removed since
        context = {} if capability is None else capability_context(capability)
        return render("device.html", vendored=has_chart_library(), name=device, device=document, **context)

    app.include_router(router)
    app.include_router(sign_in_router(store, provider))
    app.include_router(tokens_router(store))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def problem_page(status: int, detail: str, hint: str, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """Returns an error as a page: what is wrong, and how to fix it."""
    page = render("problem.html", status=status, detail=detail, hint=hint)
    return HTMLResponse(page, status_code=status, headers=headers)


def _job_context(store: Store, report: JobReport) -> dict[str, Any]:
    front, trials = front_of(report), trials_of(report)
    (job,) = with_waiting(store, [job_of(report)])
    return {
        "job": job,
        "answer": front["answer"] if "fronts" not in front else None,
        "coverage": report.coverage,
        "learning": learning_document(report.whole),
        "ended": report.job.state.ended,
        "linked": True,
        **views_context(front, trials),
    }
