"""The pages by which users sign in and out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from dashboards.access.credentials import SESSION_LASTS, address_of, cookie_of, delete_cookie, set_cookie
from dashboards.access.failures import TooManyFailures
from dashboards.access.forgery import check_form_token, check_origin, form_of
from dashboards.access.gate import ANYONE, guard_of
from dashboards.access.guard import NotSignedIn
from dashboards.access.identity import identity_of
from dashboards.access.oidc import CALLBACK, OidcProvider, forget_flow, user_of
from dashboards.api import problem_headers, problem_status
from dashboards.web.rendering import render
from hwprofiles.errors import NotFound, ParetuneError
from search.permissions import Scope
from search.store import Store

LOGIN = "/login"
log = logging.getLogger("paretune.access")


def sign_in_router(store: Store, provider: OidcProvider | None) -> APIRouter:
    """Returns the routes of the log-in page, over one store; ``provider`` knows users too."""
    router = APIRouter(include_in_schema=False, dependencies=[ANYONE])
    page = partial(_page, provider=provider)
    _add_provider_routes(router, store, provider)

    @router.get(LOGIN, response_class=HTMLResponse)
    def login(next: str = "/") -> Response:
        return page(next)

    @router.post(LOGIN)
    async def open_session(request: Request) -> Response:
        check_origin(request)
        fields = await form_of(request)
        next_path = _local_path(fields.get("next", "/"))
        try:
            cookie = await run_in_threadpool(_open_session, store, request, fields.get("token", "").strip())
        except (NotSignedIn, TooManyFailures) as error:
            return page(next_path, error)
        answer = RedirectResponse(next_path, status_code=303)
        set_cookie(request, answer, cookie)
        return answer

    @router.post("/logout")
    async def close_session(request: Request) -> Response:
        cookie = cookie_of(request)
        grant = await run_in_threadpool(store.sessions.grant, cookie)
        if grant is not None:
            request.state.identity = identity_of(grant)  # for the audit log
        check_origin(request)
        await check_form_token(request, cookie)
        await run_in_threadpool(store.sessions.close, cookie)
        answer = RedirectResponse(LOGIN, status_code=303)
        delete_cookie(request, answer)
        return answer

    return router


def sign_in_first(request: Request) -> Response:
    """Sends a browser to the log-in page, and from there to the page that it asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    query = urlencode({"next": asked}) if request.method == "GET" and asked != "/" else ""
    return RedirectResponse(f"{LOGIN}?{query}" if query else LOGIN, status_code=303)


def _open_session(store: Store, request: Request, token: str) -> str:
    """Opens a session by an API token and returns its cookie."""
    grant = guard_of(request).grant(request, token)
    request.state.identity = identity_of(grant)  # for the audit log
    return store.sessions.open(grant.user, grant.scopes, SESSION_LASTS, grant.token_id)


def _page(next_path: str, error: ParetuneError | None = None, *, provider: OidcProvider | None) -> Response:
    """Returns the log-in page, which says why an attempt failed."""
    html = render(
        "login.html",
        next=_local_path(next_path),
        problem=error.message if error else "",
        hint=error.hint if error and not getattr(error, "wrong_token", False) else "",
        provider=provider and provider.settings.name,
    )
    status = 200 if error is None else problem_status(error)
    return HTMLResponse(html, status, headers=problem_headers(error) if error else None)


def _add_provider_routes(router: APIRouter, store: Store, provider: OidcProvider | None) -> None:
    """Adds the ways to a provider and back."""

    def configured() -> OidcProvider:
        if provider is None:
            raise NotFound("this server knows no OpenID Connect provider", f"sign in with a token at {LOGIN}")
        return provider

    @router.get(f"{LOGIN}/oidc")
    async def lead_there(request: Request, next: str = "/") -> Response:
        try:
            return await configured().lead_there(request, _local_path(next))
        except NotFound:
            raise
        except ParetuneError as error:
            return _page(next, error, provider=provider)

    @router.get(CALLBACK)
    async def take_back(request: Request) -> Response:
        try:
            claims, next_path = await configured().take_back(request)
            cookie = await run_in_threadpool(_open_session_of, store, request, configured(), claims)
        except NotFound:
            raise
        except ParetuneError as error:
            log.warning("%s came back from the provider in vain: %s", address_of(request), error.message)
            return _page("/", error, provider=provider)
        answer = RedirectResponse(_local_path(next_path), status_code=303)
        set_cookie(request, answer, cookie)
        forget_flow(request, answer)
        return answer


def _open_session_of(store: Store, request: Request, provider: OidcProvider, claims: Mapping[str, Any]) -> str:
    """Opens a session of the user that a provider's claims stand for, and returns its cookie."""
    note = partial(store.audit.add, action=f"GET {CALLBACK}", address=address_of(request))
    try:
        user = user_of(store, provider.settings, claims)
    except ParetuneError as error:
        note(None, object=error.message, outcome="refused")
        raise
    scopes = Scope if user.admin else (Scope.READ, Scope.SUBMIT)
    cookie = store.sessions.open(user.name, scopes, SESSION_LASTS)
    note(user.name, object=provider.settings.issuer)
    return cookie


def _local_path(path: str) -> str:
    """Returns a path of this server, never another site's address: / for anything else."""
    local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if local else "/"
