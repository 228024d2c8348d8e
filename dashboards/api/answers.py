"""JSON answers that a reader may have already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib import metadata
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from dashboards.words import Json
from search.store import JobVersion

_MADE_BY = metadata.version("paretune")


def answer(request: Request, document: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Returns a document; 304 without it if the reader has the same."""
    body = _encode(document)
    tag = _tag(body)
    return _unchanged(tag) if status == 200 and _has(request, tag) else _json(body, tag, status, headers)


def answer_at(request: Request, version: JobVersion, make: Callable[[], Json]) -> Response:
    """As :func:`answer`, for a document that changes with a job's ``version`` only: it is made if it is sent."""
    tag = _tag(f"{_MADE_BY} {version} {request.url.path}?{request.url.query}".encode())
    return _unchanged(tag) if _has(request, tag) else _json(_encode(make()), tag)


def _encode(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _tag(text: bytes) -> str:
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def _has(request: Request, tag: str) -> bool:
    given = request.headers.get("if-none-match", "").split(",")
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in given)


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers={"ETag": tag})


def _json(body: bytes, tag: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, {"ETag": tag, **(headers or {})}, media_type="application/json")
