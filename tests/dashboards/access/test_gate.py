"""What each route needs: every route of the server declares it, and keeps to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from access_people import People
from access_routes import VALUES, gates_by_route
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from dashboards import server
from dashboards.access import Identity
from dashboards.access.credentials import SESSION_LASTS, form_token
from dashboards.access.gate import ADMINISTER, ANYONE, READ, SUBMIT, Gate, OpenGate, check_gates
from dashboards.access.guard import Guard
from dashboards.access.settings import AccessSettings
from dashboards.api.problems import problem_status
from dashboards.server import create_app
from dashboards.web.views import LIVE_PATHS
from hwprofiles.errors import ParetuneError
from search.permissions import Scope
from search.store import Store

OPEN_ROUTES = {
    ("GET", "/healthz"), ("GET", "/openapi.json"), ("GET", "/login"), ("POST", "/login"), ("POST", "/logout"),
    ("GET", "/login/oidc"), ("GET", "/login/oidc/callback"), ("GET", "/livez"), ("GET", "/readyz"),
}  # fmt: skip
"""Those that answer everyone; a further one is added here on purpose."""

ROUTES = [(method, path, gate) for (method, path), gate in gates_by_route().items()]


def test_a_route_without_a_gate_is_not_served() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/forgotten")
    def forgotten() -> None: ...

    with pytest.raises(TypeError, match="/forgotten declares 0 gates"):
        check_gates(app)


def test_only_these_routes_answer_everyone() -> None:
    assert {(method, path) for method, path, gate in ROUTES if isinstance(gate, OpenGate)} == OPEN_ROUTES


def test_what_changes_something_needs_more_than_to_read() -> None:
    changing = [(method, path, gate) for method, path, gate in ROUTES if method != "GET"]
    assert [(m, p) for m, p, gate in changing if isinstance(gate, Gate) and gate.scope is Scope.READ] == []


def test_the_openapi_document_says_what_each_route_needs(store: Store) -> None:
    with_store = create_app(store)
    document = asyncio.run(_get(with_store, "/openapi.json")).json()
    assert document["paths"]["/api/v1/jobs"]["get"]["security"] == [{"token": ["read"]}]
    assert document["paths"]["/api/v1/agent/lease"]["post"]["security"] == [{"device": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]


class TestMatrix:
    """Every route with every set of scopes: refused without a valid token, and without its scope."""

    @pytest.mark.parametrize("scopes", [(), *((scope,) for scope in Scope), tuple(Scope)], ids=str)
    def test_every_route(self, store: Store, address: str, scopes: tuple[Scope, ...]) -> None:
        people = People(store)
        people.add("fay", admin=True)
        headers = {"Authorization": f"Bearer {people.token('fay', *scopes)}"} if scopes else {}
        statuses = {}
        with httpx.Client(base_url=address, headers=headers) as client:
            for method, path, gate in ROUTES:
                answer = client.request(method, path.format_map(VALUES))
                statuses[method, path] = (answer.status_code, gate)
        for (method, path), (status, gate) in statuses.items():
            refusal = 401 if path.startswith((*server._MACHINE_PATHS, LIVE_PATHS)) else 303
            if isinstance(gate, OpenGate):
                assert status not in (401, 403) or path.startswith("/login"), (method, path)
            elif not isinstance(gate, Gate):
                assert status == 401, (method, path)  # a device's token is none of a user's
            elif not scopes:
                assert status == refusal, (method, path)
            else:
                assert (status == 403) == (gate.scope not in (None, *scopes)), (method, path, status)
                assert status not in (401, 303), (method, path)
                assert status < 500, (method, path)


@pytest.fixture
def app(store: Store) -> FastAPI:
    """A server with a route for each gate."""
    app = FastAPI(openapi_url=None)
    app.state.guard = Guard(store, AccessSettings())

    @app.get("/see")
    def see(identity: Identity = READ) -> str:
        return identity.user

    @app.post("/change")
    @app.delete("/change")
    def change(identity: Identity = SUBMIT) -> str:
        return identity.user

    @app.post("/administer", dependencies=[ADMINISTER])
    def administer() -> None: ...

    @app.get("/open", dependencies=[ANYONE])
    def show() -> None: ...

    @app.exception_handler(ParetuneError)
    def refuse(_: Request, error: ParetuneError) -> JSONResponse:
        return JSONResponse(error.message, problem_status(error))

    check_gates(app)
    return app


async def _get(app: FastAPI, path: str, method: str = "GET", **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 5000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, **more)


@pytest.fixture
def ask(app: FastAPI) -> Callable[..., httpx.Response]:
    def ask(path: str, method: str = "POST", **more: Any) -> httpx.Response:
        return asyncio.run(_get(app, path, method, **more))

    return ask


class TestRoutesThatChange:
    @pytest.fixture
    def session(self, people: People, store: Store) -> str:
        """The cookie of a session."""
        store.users.set_admin("ada", True)
        token = people.token("ada", Scope.SUBMIT)
        grant = store.tokens.grant(token)
        assert grant is not None
        return store.sessions.open("ada", grant.scopes, SESSION_LASTS, grant.token_id)

    SAME = {"Origin": "http://localhost"}  # noqa: RUF012

    @pytest.mark.parametrize("method", ["POST", "DELETE"])
    def test_a_session_shows_the_token_of_its_forms(
        self, ask: Callable[..., httpx.Response], session: str, method: str
    ) -> None:
        token = form_token(session)
        for headers in ({"X-Form-Token": token}, {"X-Form-Token": token, **self.SAME}):
            assert ask("/change", method, headers={"Cookie": f"paretune={session}", **headers}).json() == "ada"
        if method == "POST":
            assert (
                ask(
                    "/change", headers={"Cookie": f"paretune={session}", **self.SAME}, data={"form_token": token}
                ).json()
                == "ada"
            )
        for headers in (self.SAME, {"X-Form-Token": token[:-1]}, {"X-Form-Token": token, "Origin": "null"},
                        {"X-Form-Token": token, "Sec-Fetch-Site": "cross-site"}):  # fmt: skip
            assert ask("/change", method, headers={"Cookie": f"paretune={session}", **headers}).status_code == 403

    def test_a_token_needs_no_form(self, ask: Callable[..., httpx.Response], people: People) -> None:
        headers = {"Authorization": f"Bearer {people.token('ada')}"}
        assert ask("/change", headers=headers).json() == "ada"
        assert ask("/change", headers={"Cookie": "paretune=stale", **headers}).json() == "ada"

    def test_on_an_open_server_programs_change_and_foreign_pages_do_not(
        self, ask: Callable[..., httpx.Response]
    ) -> None:
        assert ask("/change").json() == "local"
        assert ask("/change", headers=self.SAME).json() == "local"
        assert ask("/change", headers={"Sec-Fetch-Site": "same-origin"}).json() == "local"
        for headers in TestRoutesThatChange.FOREIGN:
            assert ask("/change", headers=headers).status_code == 403

    FOREIGN = (
        {"Origin": "https://evil.example"}, {"Origin": "http://localhost:1"}, {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"},
    )  # fmt: skip

    def test_the_scope_admin_is_of_administrators(
        self, ask: Callable[..., httpx.Response], people: People, store: Store
    ) -> None:
        store.users.set_admin("ada", True)
        headers = {"Authorization": f"Bearer {people.token('ada', Scope.ADMIN)}"}
        assert ask("/administer", headers=headers).status_code == 200
        store.users.set_admin("ada", False)
        assert ask("/administer", headers=headers).status_code == 403
