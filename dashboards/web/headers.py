"""Security headers of answers, and a check of each request's host."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.access.settings import AccessSettings
from dashboards.api import AGENT_PATHS, problem_response

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HINT = "use http://127.0.0.1, or name the host in PARETUNE_HOSTS where the server runs"
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityHeaders:
    """Adds the headers to every answer, and refuses requests for other hosts than this server, except of agents.

    The host is checked against DNS rebinding. Agents send a token with each request, which no foreign page has.
    """

    def __init__(self, app: ASGIApp, settings: AccessSettings) -> None:
        self.app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        host, server = Headers(scope=scope).get("host", ""), scope.get("server")
        answer: ASGIApp = self.app
        if not scope["path"].startswith(AGENT_PATHS) and not self._settings.allows_host(host, server and server[0]):
            answer = problem_response(400, "the host of the request is not a name of this server", _HINT)
        await answer(scope, receive, send_with_headers)
