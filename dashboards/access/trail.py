"""The trail of a server: which requests changed something, or were refused, in the audit log."""

from __future__ import annotations

import logging

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.access.credentials import address_of
from dashboards.access.forgery import SAFE_METHODS
from dashboards.access.identity import Identity
from hwprofiles.errors import StorageError
from search.store import Store

log = logging.getLogger("paretune.access")
_LONGEST = 400
_PARTS = "PATCH /api/v1/uploads/{upload_id}"
"""Parts of a file, which was announced by a request of its own: noted only if they are refused."""


class Trail:
    """Notes each request of a user that was to change something, and each that was not theirs to make.

    Requests without a valid token or session are not noted here; wrong tokens are noted by the guard.
    """

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self.app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state, started = scope.setdefault("state", {}), False

        async def note(status: int) -> None:
            identity: Identity | None = state.get("identity")
            if identity is not None and (scope["method"] not in SAFE_METHODS or status == 403):
                await run_in_threadpool(self._note, HTTPConnection(scope), identity, status)

        async def note_and_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                await note(message["status"])  # before anyone learns of it
            await send(message)

        try:
            await self.app(scope, receive, note_and_send)
        except Exception:
            if not started:
                await note(500)
            raise

    def _note(self, request: HTTPConnection, identity: Identity, status: int) -> None:
        route = getattr(request.scope.get("route"), "path", request.url.path)
        action, path = f"{request.scope['method']} {route}", request.url.path[:_LONGEST]
        outcome = "ok" if status < 400 else str(status)
        if action == _PARTS and outcome == "ok":
            return
        try:
            self._store.audit.add(
                identity.user, action, path, token_id=identity.token_id, address=address_of(request), outcome=outcome
            )
        except StorageError as error:
            log.error("%s of %s (%s) is missing in the audit log: %s", action, identity.user, outcome, error.message)
