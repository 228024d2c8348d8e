"""A limit for the bodies of requests, which are parsed before it is known who sends them."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.api.problems import problem_response

MAX_BODY_BYTES = 2 * 2**20
_OWN_LIMITS = ("/api/v1/agent/", "/api/v1/uploads/")
"""Routes that read their bodies themselves, part by part."""


class BodyLimit:
    """Answers requests with larger bodies with 413, without keeping more than :data:`MAX_BODY_BYTES` of them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http" or scope["path"].startswith(_OWN_LIMITS):
            await self.app(scope, receive, send)
            return
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY_BYTES:
                detail, hint = f"the request has more than {MAX_BODY_BYTES} bytes", "send files as artefacts"
                await problem_response(413, detail, hint, instance=scope["path"])(scope, receive, send)
                return
        sent = False

        async def receive_again() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self.app(scope, receive_again, send)
