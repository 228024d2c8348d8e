"""The gates of routes: what whoever asks needs.

Each route declares one, as a parameter or among its dependencies::

    @router.get("/jobs")
    def jobs(identity: Identity = READ) -> Json: ...

    @router.get("/healthz", dependencies=[ANYONE])
    def healthz() -> Json: ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.concurrency import run_in_threadpool

from dashboards.access.credentials import bearer_of, cookie_of, form_token
from dashboards.access.forgery import SAFE_METHODS, check_form_token, check_origin
from dashboards.access.guard import Guard
from dashboards.access.identity import LOCAL, Identity
from search.permissions import Scope


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page."""

    user: str
    form_token: str
    """What the page's forms carry."""
    makes_tokens: bool
    """Whether they may make API tokens: they signed in through a provider, not by a token."""


VISITOR: ContextVar[Visitor | None] = ContextVar("visitor", default=None)
"""Who looks at the page that is being made; None for nobody in particular."""


@dataclass(frozen=True)
class Gate:
    """What a request needs to reach a route; FastAPI calls it first, and gives the route what it returns."""

    scope: Scope | None
    """None for whoever can say who they are."""

    async def __call__(self, request: Request) -> Identity:
        """Returns who asks, if they have the scope; else raises an error of :mod:`dashboards.access`."""
        identity = await run_in_threadpool(guard_of(request).identify, request)
        request.state.identity = identity
        cookie = "" if bearer_of(request) or identity is LOCAL else cookie_of(request)
        if identity is not LOCAL:
            VISITOR.set(Visitor(identity.user, form_token(cookie), identity.token_id is None))
        if request.method not in SAFE_METHODS:
            check_origin(request)
            if cookie:
                await check_form_token(request, cookie)
        if self.scope is not None:
            identity.require_scope(self.scope)
        return identity


@dataclass(frozen=True)
class OpenGate:
    """Lets everyone through."""

    async def __call__(self) -> None:
        """Returns nothing."""


@dataclass(frozen=True)
class DeviceGate:
    """Lets the agents of devices through."""

    async def __call__(self, request: Request) -> str:
        """Returns the device whose agent asks."""
        return await run_in_threadpool(guard_of(request).device_of, request)


READ, SUBMIT, CONNECT, ADMINISTER, SIGNED_IN = (
    Depends(Gate(scope)) for scope in (Scope.READ, Scope.SUBMIT, Scope.AGENT, Scope.ADMIN, None)
)
ANYONE: Any = Depends(OpenGate())
DEVICE: Any = Depends(DeviceGate())


def guard_of(request: Request) -> Guard:
    """Returns the guard of the server that a request reached."""
    guard: Guard = request.app.state.guard
    return guard


def gates_of(app: FastAPI) -> Iterator[tuple[RouteContext, list[Gate | OpenGate | DeviceGate]]]:
    """Yields each route of an application with its gates; static files have no routes."""
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        if dependant is not None:
            calls = [dependency.call for dependency in dependant.dependencies]
            yield route, [call for call in calls if isinstance(call, Gate | OpenGate | DeviceGate)]


def check_gates(app: FastAPI) -> None:
    """Raises :class:`TypeError` for a route without a gate, or with several: it must not be served."""
    for route, gates in gates_of(app):
        if len(gates) != 1:
            raise TypeError(f"route {route.path} declares {len(gates)} gates of dashboards.access.gate instead of one")


def describe_gates(app: FastAPI, document: dict[str, Any]) -> None:
    """Adds to an application's OpenAPI document which scope each route needs."""
    document.setdefault("components", {})["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An API token"},
        "device": {"type": "http", "scheme": "bearer", "description": "The token of a device's agent"},
    }
    for route, gates in gates_of(app):
        for method in route.methods or ():
            path = re.sub(r":\w+}", "}", route.path or "")
            operation = document["paths"].get(path, {}).get(method.lower())
            if operation is not None and isinstance(gates[0], Gate):
                operation["security"] = [{"token": [str(gates[0].scope)] if gates[0].scope else []}]
            elif operation is not None and isinstance(gates[0], DeviceGate):
                operation["security"] = [{"device": []}]
