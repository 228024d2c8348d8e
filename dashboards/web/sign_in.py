"""The pages by which users sign in and out."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from dashboards.access.credentials import SESSION_LASTS, cookie_of, delete_cookie, set_cookie
from dashboards.access.failures import TooManyFailures
from dashboards.access.forgery import check_form_token, check_origin, form_of
from dashboards.access.gate import ANYONE, guard_of
from dashboards.access.guard import NotSignedIn
from dashboards.access.identity import identity_of
from dashboards.web.rendering import render
from hwprofiles.errors import ParetuneError
from search.store import Store

LOGIN = "/login"


def sign_in_router(store: Store) -> APIRouter:
    """Returns the routes of the log-in page, over one store."""
    router = APIRouter(include_in_schema=False, dependencies=[ANYONE])

    @router.get(LOGIN, response_class=HTMLResponse)
    def login(next: str = "/") -> str:
        return _page(next)

    @router.post(LOGIN)
    async def open_session(request: Request) -> Response:
        check_origin(request)
        fields = await form_of(request)
        next_path = _local_path(fields.get("next", "/"))
        try:
            cookie = await run_in_threadpool(_open_session, store, request, fields.get("token", "").strip())
        except NotSignedIn as error:
            return HTMLResponse(_page(next_path, error), status_code=401)
        except TooManyFailures as error:
            return HTMLResponse(_page(next_path, error), status_code=429, headers={"Retry-After": str(error.wait_s)})
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


def _page(next_path: str, error: ParetuneError | None = None) -> str:
    problem, hint = (error.message, "") if error else ("", "")
    if isinstance(error, TooManyFailures):
        hint = error.hint
    return render("login.html", next=_local_path(next_path), problem=problem, hint=hint, provider=None)


def _local_path(path: str) -> str:
    """Returns a path of this server, never another site's address: / for anything else."""
    local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if local else "/"
