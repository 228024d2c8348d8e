"""The routes of users' files: announced by their hash, sent in parts, fetched by their hash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from dashboards.access import Identity
from dashboards.access.gate import READ, SUBMIT
from dashboards.api.problems import RequestRefused
from hwprofiles.errors import NotFound
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore
from search.artefacts.uploads import Progress, Uploads
from search.store import Store

Json = dict[str, Any]

SILENCE_S = 60.0
"""Seconds without a byte after which a request ends; what has arrived stays."""

_PIECE_BYTES = 2**20
_SHA256 = r"^[0-9a-f]{64}$"
_Sha256 = Annotated[str, Path(pattern=_SHA256, description="SHA-256 of the content, in lower case")]
_UploadId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


class Announcement(BaseModel):
    """A file to be sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=_SHA256)
    size_bytes: int = Field(ge=0, strict=True)


def artefact_router(store: Store) -> APIRouter:
    """Returns the routes of ``/api/v1/artefacts`` and ``/api/v1/uploads`` over one store."""
    router = APIRouter(prefix="/api/v1", tags=["artefacts"])
    artefacts = ArtefactStore()
    uploads = Uploads(store, artefacts)

    @router.post("/artefacts", summary="Announces a file; says where to send it, or that it is there",
                 responses={201: {"description": "It is to be sent", "model": Json}})  # fmt: skip
    def begin(file: Announcement, response: Response, identity: Identity = SUBMIT) -> Json:
        progress = uploads.begin(identity.user, file.sha256, file.size_bytes)
        if progress.upload_id is not None:
            response.status_code = 201
            response.headers["Location"] = f"/api/v1/uploads/{progress.upload_id}"
        return _document(progress, response)

    @router.head("/uploads/{upload_id}", summary="How much of a file has arrived", status_code=204)
    def offset(upload_id: _UploadId, identity: Identity = SUBMIT) -> Response:
        response = Response(status_code=204)
        _document(uploads.progress(identity.user, upload_id), response)
        return response

    @router.patch("/uploads/{upload_id}", summary="Sends a part of a file, as the body; the last part stores the file")
    async def append(
        upload_id: _UploadId,
        request: Request,
        response: Response,
        upload_offset: Annotated[int, Header(ge=0, description="The part's first byte")],
        identity: Identity = SUBMIT,
    ) -> Json:
        part = await run_in_threadpool(uploads.part, identity.user, upload_id, upload_offset)
        async for data in _pieces(request):
            await run_in_threadpool(part.write, data)
        return _document(await run_in_threadpool(uploads.end_part, identity.user, upload_id), response)

    @router.delete("/uploads/{upload_id}", summary="Gives an upload up", status_code=204)
    def give_up(upload_id: _UploadId, identity: Identity = SUBMIT) -> None:
        uploads.give_up(identity.user, upload_id)

    @router.get("/artefacts/{sha256}", summary="A file of yours", response_class=FileResponse)
    def fetch(sha256: _Sha256, identity: Identity = READ) -> FileResponse:
        if OwnedArtefacts(store, identity.user, artefacts).missing([sha256]):
            raise NotFound(f"there is no file {sha256[:12]} of yours", "announce it, then send it")
        return FileResponse(artefacts.fetch(sha256), media_type="application/octet-stream")

    return router


def _document(progress: Progress, response: Response) -> Json:
    """Returns an upload's state, and sets the headers that say it."""
    response.headers["Upload-Offset"] = str(progress.received_bytes)
    response.headers["Upload-Length"] = str(progress.size_bytes)
    response.headers["Cache-Control"] = "no-store"
    return {
        "sha256": progress.sha256, "size_bytes": progress.size_bytes, "received_bytes": progress.received_bytes,
        "upload_id": progress.upload_id,
    }  # fmt: skip


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yields a request's body in large pieces; a connection that is lost or falls silent ends it."""
    piece, stream = bytearray(), request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                data = await anext(stream, None)
        except TimeoutError:
            yield bytes(piece)
            raise RequestRefused(408, f"nothing arrived for {SILENCE_S:g} s", "send the rest in another part") from None
        except ClientDisconnect:
            data = None
        if data is None or len(piece) + len(data) > _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
        if data is None:
            return
        piece += data
