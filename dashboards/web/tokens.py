"""The page on which users who signed in through a provider make API tokens for themselves.

A token cannot make further ones: it would outlive its own expiry and revocation.
"""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from dashboards.access import Identity
from dashboards.access.forgery import form_of
from dashboards.access.gate import SIGNED_IN
from dashboards.documents.access import tokens_document
from dashboards.web.rendering import render
from hwprofiles.errors import InvalidInput, NotFound
from search.permissions import LOCAL_USER, Scope
from search.store import Store
from search.store.columns import utc_now

PLACE = "/tokens"
_DAYS = (7, 30, 90, 365)
_USUAL_DAYS = 90


def tokens_router(store: Store) -> APIRouter:
    """Returns the routes of the page, over one store."""
    router = APIRouter(include_in_schema=False)

    @router.get(PLACE, response_class=HTMLResponse)
    def tokens(identity: Identity = SIGNED_IN) -> str:
        return _page(store, _own(identity))

    @router.post(PLACE)
    async def create(request: Request, identity: Identity = SIGNED_IN) -> Response:
        fields = await form_of(request)
        page = await run_in_threadpool(_create, store, _own(identity), fields)
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    @router.post(f"{PLACE}/{{token}}/revoke")
    def revoke(token: str, identity: Identity = SIGNED_IN) -> Response:
        if token not in [row.token_id for row in store.tokens.all(_own(identity).user)]:
            raise NotFound(f"you have no token {token!r}", f"{PLACE} lists yours")
        store.tokens.revoke(token)
        return RedirectResponse(PLACE, status_code=303)

    return router


def _own(identity: Identity) -> Identity:
    """Returns an identity that may make tokens; raises :class:`NotFound` for any other."""
    if identity.token_id is not None or identity.user == LOCAL_USER:
        raise NotFound("tokens are made here by those who sign in through a provider", "ask an administrator for one")
    return identity


def _create(store: Store, identity: Identity, fields: dict[str, str]) -> str:
    days = fields.get("days", "")
    scopes = [scope for scope in identity.scopes if fields.get(f"scope-{scope}")]
    if not days.isdecimal() or int(days) not in _DAYS:
        raise InvalidInput("days: must be one of those on the page", "go back, and choose")
    expires_at = utc_now() + timedelta(days=int(days))
    _, text = store.tokens.create(identity.user, scopes, label=fields.get("name", ""), expires_at=expires_at)
    return _page(store, identity, text)


def _page(store: Store, identity: Identity, text: str = "") -> str:
    """Returns the page, once with a new token."""
    rows = tokens_document(store, identity.user, invalid=False)["tokens"]
    scopes = [str(scope) for scope in Scope if scope in identity.scopes]
    return render("tokens.html", tokens=rows, scopes=scopes, days=_DAYS, usual_days=_USUAL_DAYS, new=text)
