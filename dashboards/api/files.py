"""The routes by which files are uploaded: a stand-in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from starlette.concurrency import run_in_threadpool

from dashboards.access import Identity
from dashboards.access.gate import SUBMIT
from dashboards.api.problems import RequestRefused
from dashboards.api.routes import ServiceOf
from dashboards.service.submission import Digest
from hwprofiles import digest_of_file

Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$")]


def files_router(service_of: ServiceOf) -> APIRouter:
    """Returns the routes of files."""
    router = APIRouter(prefix="/api/v1/files", tags=["v1"])

    @router.post("/missing", summary="Which of these files are not stored yet")
    def missing(digests: list[Digest], identity: Identity = SUBMIT) -> dict[str, Any]:
        return {"missing": service_of(identity).missing(digests)}

    @router.put("/{sha256}", summary="Stores a file", status_code=204)
    async def put(sha256: Sha256, request: Request, identity: Identity = SUBMIT) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            with path.open("wb") as file:
                async for chunk in request.stream():
                    file.write(chunk)
            if digest_of_file(path) != sha256:
                raise RequestRefused(400, "the file has another SHA-256", "send it again")
            await run_in_threadpool(service_of(identity).upload, path)

    return router
