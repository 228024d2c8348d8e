"""The server: REST, events and pages over one store. Stateless apart from a cache of reports."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from dashboards.access.gate import ANYONE, check_gates, describe_gates
from dashboards.access.guard import Guard
from dashboards.access.oidc import OidcProvider
from dashboards.access.settings import AccessSettings
from dashboards.access.trail import Trail
from dashboards.api import (
    AGENT_PATHS,
    agent_problem,
    agent_router,
    api_router,
    artefact_router,
    me_router,
    problem_headers,
    problem_response,
    problem_status,
)
from dashboards.api.body_limit import BodyLimit
from dashboards.api.description import describe
from dashboards.api.metrics import ServerMetrics, TimedRequests, metrics_router
from dashboards.documents.reports import Reports
from dashboards.service.local import LocalService
from dashboards.web.headers import SecurityHeaders
from dashboards.web.sign_in import sign_in_first
from dashboards.web.views import LIVE_PATHS, mount_pages, problem_page
from hwprofiles.errors import InvalidInput, ParetuneError, StorageError
from hwprofiles.logs import log_to_stderr
from search.store import Store

log = logging.getLogger("paretune.server")

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8700
_GRACE_S = 2  # answers that take longer are cut off at the end
_OPEN_CHECKS = ("/healthz", "/readyz")
"""Routes that answer everyone, and therefore say nothing of the database."""

_MACHINE_PATHS = ("/api/", "/healthz", "/livez", "/readyz", "/metrics", "/openapi.json")


def create_app(store: Store, settings: AccessSettings | None = None) -> FastAPI:
    """Returns the application: ``/api/v1``, ``/healthz``, ``/openapi.json`` and the pages.

    Setting the event ``app.state.stopping`` ends open event streams. The caller closes the store.
    """
    settings = settings or AccessSettings.of(DEFAULT_HOST)
    # No built-in documentation pages, since they load from other hosts; /openapi.json describes the routes.
    app = FastAPI(title="Paretune", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.stopping = threading.Event()
    app.state.guard = Guard(store, settings)
    metrics = ServerMetrics(store)
    app.add_middleware(TimedRequests, metrics=metrics)
    app.add_middleware(Trail, store=store)
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders, settings=settings)

    @app.get("/healthz", summary="Whether the server and its store answer", dependencies=[ANYONE])
    def healthz() -> dict[str, str]:
        store.devices.all()
        return {"status": "ok"}

    @app.get("/livez", summary="Whether the server's process answers", dependencies=[ANYONE])
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Whether the server can take requests", dependencies=[ANYONE])
    def readyz() -> dict[str, str]:
        if app.state.stopping.is_set():
            raise HTTPException(503, "the server is stopping")
        store.devices.all()
        return {"status": "ok"}

    @app.get("/openapi.json", include_in_schema=False, dependencies=[ANYONE])
    def openapi() -> dict[str, Any]:
        document = app.openapi()
        describe(document)
        describe_gates(app, document)
        return document

    reports = Reports(store)
    service_of = partial(LocalService, store, reports=reports, trusted=False)
    app.include_router(api_router(store, reports, service_of))
    app.include_router(agent_router(store))
    app.include_router(me_router())
    app.include_router(artefact_router(store))
    app.include_router(metrics_router(metrics))
    mount_pages(app, store, service_of, OidcProvider(settings.oidc) if settings.oidc else None)
    _handle_errors(app)
    check_gates(app)
    return app


def serve(store: Store, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT) -> None:
    """Serves until interrupted; prints the address to stderr. ``port`` 0 takes a free one.

    Raises :class:`InvalidInput` for an address or settings that cannot be used, and ``KeyboardInterrupt`` after Ctrl-C,
    once open answers are finished.
    """
    log_to_stderr()
    settings = AccessSettings.of(host)
    _check_reach(store, settings)
    listener = _listen(host, port)
    print(f"Paretune is at {_url(listener)} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    _Server(_config(create_app(store, settings), settings)).run(sockets=[listener])


@contextmanager
def background(store: Store, host: str = DEFAULT_HOST, port: int = 0) -> Iterator[str]:
    """Serves in a thread while the block runs; yields the address, such as ``http://127.0.0.1:8700``."""
    settings = AccessSettings.of(host)
    listener = _listen(host, port)
    server = _Server(_config(create_app(store, settings), settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="paretune-server", daemon=True)
    thread.start()
    try:
        # The socket listens already: connections before the loop runs only wait a moment.
        yield _url(listener)
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the event streams first: they would delay the shutdown until it is forced."""
        self.config.app.state.stopping.set()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def _config(app: FastAPI, settings: AccessSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        timeout_graceful_shutdown=_GRACE_S,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not 0 <= port <= 65535:
        raise InvalidInput(f"port {port} is not between 0 and 65535", "--port 0 takes a free one")
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InvalidInput(
            f"cannot serve on {host} port {port}: {error.strerror or error}",
            "name another with: paretune serve --port PORT (0 takes a free one)",
        ) from None


def _check_reach(store: Store, settings: AccessSettings) -> None:
    """Refuses to serve other machines where nobody could sign in: there is neither a valid token nor an agent's."""
    tokens = any(token.valid for token in store.tokens.all())
    if not (settings.on_loopback or settings.oidc or tokens or store.agents.has_tokens()):
        raise InvalidInput(
            f"host {settings.host!r} is not this machine's loopback, and there is no token that anyone could use",
            "add a user and a token: paretune users add NAME; paretune tokens create --user NAME --scopes read,submit",
        )


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(ParetuneError)
    def ours(request: Request, error: ParetuneError) -> Response:
        if isinstance(error, StorageError) and request.url.path in _OPEN_CHECKS:
            log.warning("%s: %s", request.url.path, error.message)
            error = StorageError("the database does not answer", "the server's log says why")
        status = agent_problem(error) or problem_status(error)
        return _answer(request, status, error.message, error.hint, problem_headers(error))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        detail = f"there is nothing at {request.url.path}" if error.status_code == 404 else str(error.detail)
        return _answer(request, error.status_code, detail, "/openapi.json lists what there is")

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return _answer(request, 422, f"{place}: {first['msg']}", "/openapi.json says what this path takes")

    @app.exception_handler(Exception)
    def failure(request: Request, error: Exception) -> Response:
        return _answer(request, 500, f"the server failed: {type(error).__name__}", "its log has the details")


def _answer(
    request: Request, status: int, detail: str, hint: str, headers: Mapping[str, str] | None = None
) -> Response:
    path = request.url.path
    if path.startswith(AGENT_PATHS) and status < 500:
        peer = request.client.host if request.client else "unknown"
        log.warning("refused a request of %s for %.200r with %d: %.400r; %s", peer, path, status, detail, hint)
    if path.startswith(_MACHINE_PATHS):
        return problem_response(status, detail, hint, instance=path, headers=headers)
    if status == 401 and not path.startswith(LIVE_PATHS):
        return sign_in_first(request)
    return problem_page(status, detail, hint, headers)
