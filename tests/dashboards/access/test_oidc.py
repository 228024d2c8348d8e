"""Signing in through an OpenID Connect provider: a real one, which the tests start."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from access_people import People
from children import die_with_parent, free_port, wait_for_port

from dashboards.access import oidc_settings
from dashboards.access.gate import check_gates
from dashboards.access.guard import NotSignedIn
from dashboards.access.oidc import CALLBACK, user_of
from dashboards.access.oidc_settings import OidcSettings
from dashboards.access.settings import AccessSettings
from dashboards.server import background, create_app
from hwprofiles.errors import InvalidInput
from search.permissions import Scope
from search.store import Store
from search.store.columns import utc_now

USERS = [
    {"sub": "1", "email": "Ada@example.org", "email_verified": True, "name": "Ada"},
    {"sub": "2", "email": "ben@elsewhere.org", "email_verified": True, "groups": ["vision"]},
    {"sub": "3", "email": "eve@elsewhere.org", "email_verified": True, "groups": ["audio"]},
    {"sub": "4", "email": "mallory@example.org", "email_verified": False},
    {"sub": "5", "email_verified": True},
]

Browser = Callable[[], httpx.Client]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a provider that knows :data:`USERS` and takes everyone's word for who they are."""
    port, log = free_port(), tmp_path_factory.mktemp("provider") / "log"
    users = [text for user in USERS for text in ("--user-claims", json.dumps(user))]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), *users], stdout=output,
            stderr=output, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip
    try:
        wait_for_port(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def settings(provider: str) -> OidcSettings:
    return OidcSettings(provider, "paretune", "secret", ("example.org", "groups=vision"), name="Example")


@pytest.fixture
def address(store: Store, provider: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that knows the provider."""
    monkeypatch.setenv("PARETUNE_OIDC_ISSUER", provider)
    monkeypatch.setenv("PARETUNE_OIDC_CLIENT_ID", "paretune")
    monkeypatch.setenv("PARETUNE_OIDC_CLIENT_SECRET", "secret")
    monkeypatch.setenv("PARETUNE_OIDC_ALLOW", "example.org, groups=vision")
    monkeypatch.setenv("PARETUNE_OIDC_NAME", "Example")
    with background(store) as url:
        yield url


def go_there(client: httpx.Client, next: str = "/") -> str:
    """Follows the button of the log-in page; returns where it leads."""
    answer = client.get("/login/oidc", params={"next": next})
    assert answer.status_code == 302
    return answer.headers["location"]


def agree(place: str, sub: str) -> str:
    """Signs in at the provider; returns where it leads back to."""
    answer = httpx.post(place, data={"sub": sub})
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def sign_in(client: httpx.Client, sub: str, next: str = "/") -> httpx.Response:
    return client.get(agree(go_there(client, next), sub))


class TestSigningIn:
    def test_there_and_back(self, browser: Browser, store: Store, provider: str) -> None:
        client = browser()
        assert client.get("/").headers["location"] == "/login"  # it is no open server, though it has no users
        page = client.get("/login?next=/devices").text
        assert 'href="/login/oidc?next=/devices">Sign in with Example' in page
        place = go_there(client, "/devices")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(place).query).items()}
        assert place.startswith(f"{provider}/oauth2/authorize?")
        assert (asked["response_type"], asked["client_id"]) == ("code", "paretune")
        assert (asked["scope"], asked["code_challenge_method"]) == ("openid profile email", "S256")
        assert asked["redirect_uri"] == f"{str(client.base_url).rstrip('/')}{CALLBACK}"
        answer = client.get(agree(place, "1"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/devices")
        assert "paretune-oidc" not in client.cookies
        assert "<span>ada@example.org</span>" in client.get("/").text
        assert client.get("/api/v1/me").json() | {"token_id": None} == {
            "user": "ada@example.org", "scopes": ["read", "submit"], "admin": False, "projects": [],
            "owned_projects": [], "only_project": None, "token_id": None,
        }  # fmt: skip
        row = store.audit.newest(1)[0]
        assert (row.user, row.action, row.object, row.outcome) == ("ada@example.org", f"GET {CALLBACK}", provider, "ok")

    def test_the_second_time_is_the_same_user(self, browser: Browser, store: Store) -> None:
        for _ in range(2):
            assert sign_in(browser(), "1").status_code == 303
        assert [(user.name, user.subject and user.subject[-2:]) for user in store.users.all()] == [
            ("ada@example.org", " 1")
        ]

    def test_a_user_who_was_added_before(self, browser: Browser, people: People, store: Store) -> None:
        people.add("ada@example.org", admin=True)
        client = browser()
        assert sign_in(client, "1").status_code == 303
        assert client.get("/api/v1/me").json()["scopes"] == ["admin", "agent", "read", "submit"]

    def test_by_a_claim(self, browser: Browser) -> None:
        client = browser()
        assert sign_in(client, "2").status_code == 303
        assert client.get("/api/v1/me").json()["user"] == "ben@elsewhere.org"

    @pytest.mark.parametrize(
        ("sub", "problem"),
        [
            ("3", "eve@elsewhere.org may not use this server"),
            ("4", "has not verified your e-mail address mallory@example.org"),
            ("5", "does not say your email"),
        ],
    )
    def test_who_is_not_let_in(self, browser: Browser, store: Store, sub: str, problem: str) -> None:
        client = browser()
        answer = sign_in(client, sub)
        assert answer.status_code == 401
        assert problem in answer.text
        assert store.users.all() == []
        assert "paretune" not in client.cookies
        assert problem in store.audit.newest(1)[0].object
        assert store.audit.newest(1)[0].outcome == "refused"

    def test_a_disabled_user(self, browser: Browser, store: Store) -> None:
        sign_in(browser(), "1")
        store.users.disable("ada@example.org")
        assert "any more" in sign_in(browser(), "1").text

    def test_a_token_lets_in_too(self, browser: Browser, people: People) -> None:
        client = browser()
        assert client.post("/login", data={"token": people.token("ada")}).status_code == 303
        assert client.get("/").status_code == 200


class TestTokens:
    """Users who signed in through the provider make tokens for themselves."""

    def make(self, client: httpx.Client, **fields: str) -> httpx.Response:
        (form_token, *_) = re.findall(r'name="form_token" value="(\w+)"', client.get("/tokens").text)
        return client.post("/tokens", data={"name": "laptop", "days": "30", "form_token": form_token, **fields})

    def test_one_is_shown_once_and_works(self, browser: Browser, store: Store) -> None:
        client = browser()
        sign_in(client, "1")
        assert 'href="/tokens"' in client.get("/").text
        page = self.make(client, **{"scope-read": "1", "scope-admin": "1"})
        (text,) = re.findall(r"pt_\w{8}_[\w-]+", page.text)
        assert text not in client.get("/tokens").text
        (row,) = store.tokens.all("ada@example.org")
        assert (row.label, row.scopes) == ("laptop", {Scope.READ})  # no scope that the user lacks
        assert row.expires_at is not None
        assert timedelta(days=29) < row.expires_at - utc_now() < timedelta(days=30)
        headers = {"Authorization": f"Bearer {text}"}
        assert browser().get("/api/v1/me", headers=headers).json()["user"] == "ada@example.org"

    def test_it_is_revoked_by_its_owner_alone(self, browser: Browser, people: People, store: Store) -> None:
        theirs = people.token("ada").split("_")[1]
        client = browser()
        sign_in(client, "1")
        form = re.findall(r'name="form_token" value="(\w+)"', self.make(client, **{"scope-read": "1"}).text)[0]
        (row,) = store.tokens.all("ada@example.org")
        assert client.post(f"/tokens/{theirs}/revoke", data={"form_token": form}).status_code == 404
        assert client.post(f"/tokens/{row.token_id}/revoke").status_code == 403
        assert client.post(f"/tokens/{row.token_id}/revoke", data={"form_token": form}).status_code == 303
        assert [token.valid for token in store.tokens.all()] == [True, False]

    def test_a_token_makes_no_further_ones(self, browser: Browser, people: People) -> None:
        client, token = browser(), people.token("ada")
        client.post("/login", data={"token": token})
        assert 'href="/tokens"' not in client.get("/").text
        assert client.get("/tokens").status_code == 404
        for more in ({"headers": {"Authorization": f"Bearer {token}"}}, {}):
            assert client.post("/tokens", data={"days": "30"}, **more).status_code in (403, 404)

    @pytest.mark.parametrize("fields", [{"days": "9999"}, {"days": ""}, {"days": "x"}, {}])
    def test_mistakes(self, browser: Browser, store: Store, fields: dict[str, str]) -> None:
        client = browser()
        sign_in(client, "1")
        assert self.make(client, **fields).status_code == 400
        assert store.tokens.all() == []


class TestForgery:
    def test_a_way_back_that_somebody_else_began(self, browser: Browser) -> None:
        """A link that would sign a victim in as the attacker."""
        there = agree(go_there(browser()), "1")
        victim = browser()
        for client in (victim, browser()):
            answer = client.get(there)
            assert answer.status_code == 401
            assert "provider refuses" in answer.text
        go_there(victim)
        assert victim.get(there).status_code == 401
        assert "paretune" not in victim.cookies

    def test_a_code_is_used_once(self, browser: Browser) -> None:
        client = browser()
        there = agree(go_there(client), "1")
        assert client.get(there).status_code == 303
        assert client.get(there).status_code == 401

    def test_another_state_or_code(self, browser: Browser) -> None:
        client = browser()
        there = agree(go_there(client), "1")
        assert client.get(re.sub("state=[^&]*", "state=x", there)).status_code == 401
        assert client.get(re.sub("code=[^&]*", "code=x", there)).status_code == 401

    @pytest.mark.parametrize("query", ["", "?error=access_denied&error_description=no", "?state=x&code=y", "?code=y"])
    def test_strange_ways_back(self, browser: Browser, query: str) -> None:
        assert browser().get(f"{CALLBACK}{query}").status_code == 401

    @pytest.mark.parametrize("cookie", ["x", "e30=", base64.urlsafe_b64encode(b"[]").decode(), "\u00ff"])
    def test_strange_cookies(self, browser: Browser, cookie: str) -> None:
        answer = browser().get(f"{CALLBACK}?state=x&code=y", headers={"Cookie": f"paretune-oidc={cookie}".encode()})
        assert answer.status_code == 401

    def test_it_leads_to_no_other_site(self, browser: Browser) -> None:
        assert sign_in(browser(), "1", "https://evil.example/").headers["location"] == "/"

    def test_the_token_must_be_for_this_server(
        self, browser: Browser, monkeypatch: pytest.MonkeyPatch, store: Store, settings: OidcSettings
    ) -> None:
        """The provider's issuer differs from the one that was configured."""
        other = replace(settings, issuer=settings.issuer.replace("127.0.0.1", "localhost"))
        statuses = []
        for configured in (settings, replace(other, issuer=other.issuer + "/")):
            monkeypatch.setattr(oidc_settings.OidcSettings, "of", classmethod(lambda *_, it=configured: it))
            with background(store) as url, httpx.Client(base_url=url) as client:
                statuses.append(sign_in(client, "1").status_code)
        assert statuses == [303, 401]


def test_a_provider_that_does_not_answer(store: Store, settings: OidcSettings) -> None:
    silent = AccessSettings(oidc=replace(settings, issuer=f"http://127.0.0.1:{free_port()}"))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(store, silent))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/login/oidc")

    answer = asyncio.run(ask())
    assert answer.status_code == 502
    assert "Example does not answer" in answer.text
    assert 'name="token"' in answer.text


def test_without_a_provider_there_is_no_way(store: Store) -> None:
    app = create_app(store, AccessSettings())
    check_gates(app)

    async def ask(path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
            return (await client.get(path)).status_code

    assert [asyncio.run(ask(path)) for path in ("/login", "/login/oidc", CALLBACK)] == [200, 404, 404]


class TestSettings:
    GIVEN = {  # noqa: RUF012
        "PARETUNE_OIDC_ISSUER": "https://id.example", "PARETUNE_OIDC_CLIENT_ID": "a",
        "PARETUNE_OIDC_CLIENT_SECRET": "b", "PARETUNE_OIDC_ALLOW": "Example.org, groups=vision",
    }  # fmt: skip

    def test_they_come_from_the_environment(self) -> None:
        settings = OidcSettings.of(self.GIVEN)
        assert settings == OidcSettings(
            "https://id.example", "a", "b", ("example.org", "groups=vision"), "email", "id.example"
        )
        assert "'b'" not in repr(settings)
        assert OidcSettings.of({}) is None

    @pytest.mark.parametrize("missing", sorted(GIVEN.keys() - {"PARETUNE_OIDC_ISSUER"}))
    def test_all_are_needed(self, missing: str) -> None:
        with pytest.raises(InvalidInput, match=f"{missing} is missing"):
            OidcSettings.of({**self.GIVEN, missing: ""})

    def test_an_issuer_is_an_address(self) -> None:
        with pytest.raises(InvalidInput, match="not an address"):
            OidcSettings.of({**self.GIVEN, "PARETUNE_OIDC_ISSUER": "id.example"})


class TestUsers:
    @pytest.mark.parametrize(
        ("allow", "claims", "allowed"),
        [
            (("example.org",), {}, True),
            (("ada@example.org",), {}, True),
            (("ample.org",), {}, False),
            (("ben@example.org",), {}, False),
            (("groups=vision",), {"groups": ["audio", "Vision"]}, True),
            (("groups=vision",), {"groups": "vision"}, True),
            (("groups=vision",), {"groups": ["supervision"]}, False),
            (("groups=none",), {"groups": None}, False),
            (("groups=",), {}, False),
        ],
    )
    def test_whom_the_rules_let_in(
        self, store: Store, settings: OidcSettings, allow: tuple[str, ...], claims: dict[str, Any], allowed: bool
    ) -> None:
        ada = {"sub": "1", "email": "ada@example.org", "email_verified": True}
        configured = replace(settings, allow=allow)
        if allowed:
            assert user_of(store, configured, ada | claims).name == "ada@example.org"
        else:
            with pytest.raises(NotSignedIn, match="may not use"):
                user_of(store, configured, ada | claims)

    def test_an_address_that_changed_hands(self, store: Store, settings: OidcSettings) -> None:
        claims = {"sub": "1", "email": "ada@example.org", "email_verified": True}
        user_of(store, settings, claims)
        with pytest.raises(NotSignedIn, match="another account"):
            user_of(store, settings, claims | {"sub": "2"})

    def test_a_user_keeps_their_name_here(self, store: Store, settings: OidcSettings) -> None:
        claims = {"sub": "1", "email": "ada@example.org", "email_verified": True}
        user_of(store, settings, claims)
        assert user_of(store, settings, claims | {"email": "ada.l@example.org"}).name == "ada@example.org"

    def test_another_claim_names_them(self, store: Store, settings: OidcSettings) -> None:
        configured = replace(settings, claim="preferred_username", allow=("ada",))
        assert user_of(store, configured, {"sub": "1", "preferred_username": "Ada"}).name == "ada"
