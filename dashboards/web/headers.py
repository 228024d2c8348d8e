"""Security headers of answers, and a check of each request's host and origin."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards.api import AGENT_PATHS, problem_response
from hwprofiles.addresses import is_loopback, is_loopback_address

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_TUNNEL = "reach the pages through: ssh -L 8700:127.0.0.1:8700 HOST"
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class SecurityHeaders:
    """Adds the headers to every answer, and refuses requests for other hosts than the loopback or from other machines.

    Only agents may come from other machines, since they have tokens. The host is checked against DNS rebinding: a
    foreign page could let its own name point to this machine, to read what is served here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

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
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        answer: ASGIApp = self.app
        if not scope["path"].startswith(AGENT_PATHS):
            peer = scope.get("client")
            if not names_loopback(Headers(scope=scope).get("host", "")):
                answer = problem_response(400, "the host of the request is not this machine", "use http://127.0.0.1")
            elif peer is not None and not is_loopback_address(peer[0]):
                answer = problem_response(403, "only agents are answered from elsewhere", _TUNNEL)
        await answer(scope, receive, send_with_headers)


def names_loopback(host: str) -> bool:
    """Returns whether a ``Host`` header names the loopback.

    >>> names_loopback("localhost:8700"), names_loopback("[::1]"), names_loopback("example.org")
    (True, True, False)
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return is_loopback(name)
