"""Signing in and out with a browser, with and without scripts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from access_people import People

from dashboards.access import failures
from dashboards.access.credentials import SESSION_LASTS
from dashboards.access.settings import AccessSettings
from dashboards.server import create_app
from dashboards.web import headers
from search.permissions import Scope
from search.store import Store
from search.store.columns import utc_now

Browser = Callable[[], httpx.Client]


def sign_in(client: httpx.Client, token: str, next: str = "/") -> httpx.Response:
    return client.post("/login", data={"token": token, "next": next})


def form_token_on(page: httpx.Response) -> str:
    (token,) = re.findall(r'name="form_token" value="([0-9a-f]{64})"', page.text)
    return str(token)


class TestSigningIn:
    def test_pages_send_to_the_log_in_and_back(self, browser: Browser, people: People) -> None:
        client = browser()
        page = client.get("/devices?all=1")
        assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Fdevices%3Fall%3D1")
        form = client.get(page.headers["location"])
        assert form.status_code == 200
        assert 'value="/devices?all=1"' in form.text
        answer = sign_in(client, people.token("ada"), "/devices?all=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/devices?all=1")
        page = client.get("/devices")
        assert page.status_code == 200
        assert "<span>ada</span>" in page.text
        assert "Sign out" in page.text

    def test_what_a_script_asks_for_is_refused_where_it_is(self, browser: Browser, people: People) -> None:
        assert browser().get("/live/jobs").status_code == 401
        assert browser().get("/api/v1/jobs").status_code == 401

    def test_an_open_server_has_nobody_to_sign_out(self, browser: Browser) -> None:
        page = browser().get("/")
        assert page.status_code == 200
        assert "Sign out" not in page.text

    def test_a_wrong_token_is_said_on_the_page(self, browser: Browser, people: People) -> None:
        client = browser()
        answer = sign_in(client, "<script>", "/devices")
        assert answer.status_code == 401
        assert "unknown or revoked" in answer.text
        assert "<script>" not in answer.text
        assert 'value="/devices"' in answer.text
        assert not client.cookies

    def test_nothing_is_no_token(self, browser: Browser, people: People, store: Store) -> None:
        assert sign_in(browser(), " ").status_code == 401
        assert browser().post("/login", content=b"\xff", headers={"Content-Type": "text/plain"}).status_code == 401
        assert store.audit.newest(10) == []

    def test_many_wrong_ones_have_to_wait(
        self, browser: Browser, people: People, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failures, "MOST", 2)
        client = browser()
        assert [sign_in(client, f"wrong {n}").status_code for n in range(3)] == [401, 401, 429]
        answer = sign_in(client, people.token("ada"))
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert "try again in" in answer.text

    @pytest.mark.parametrize(
        "next", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example", "javascript:x", ""]
    )
    def test_it_leads_to_no_other_site(self, browser: Browser, people: People, next: str) -> None:
        client = browser()
        assert 'name="next" value="/"' in client.get("/login", params={"next": next}).text
        assert sign_in(client, people.token("ada"), next).headers["location"] == "/"

    def test_a_large_form_is_not_read(self, browser: Browser, people: People) -> None:
        answer = sign_in(browser(), "x" * 100_000)
        assert (answer.status_code, "more than" in answer.text) == (400, True)

    def test_it_may_send_itself_forms_alone(self, browser: Browser) -> None:
        assert "form-action 'self'" in browser().get("/login").headers["content-security-policy"]
        assert "no-referrer" not in str(headers._HEADERS)  # browsers would say the origin "null"


class TestCookies:
    def cookie(self, store: Store, token: str, address: str) -> str:
        """The header by which a server behind ``address`` sets its cookie."""

        async def ask() -> str:
            settings = AccessSettings(hosts=frozenset({"paretune.example"}))
            transport = httpx.ASGITransport(app=create_app(store, settings))
            async with httpx.AsyncClient(transport=transport, base_url=address) as client:
                answer = await client.post("/login", data={"token": token})
                assert answer.status_code == 303
                kept = await client.get("/")
                assert kept.status_code == 200
                return answer.headers["set-cookie"]

        return asyncio.run(ask())

    def test_over_tls(self, store: Store, people: People) -> None:
        text = self.cookie(store, people.token("ada"), "https://paretune.example")
        name, *flags = re.split(r"; ", text)
        assert name.startswith("__Host-paretune=")
        assert {flag.lower() for flag in flags} == {
            "secure", "httponly", "samesite=lax", "path=/", f"max-age={SESSION_LASTS.total_seconds():.0f}",
        }  # fmt: skip

    def test_on_the_loopback(self, store: Store, people: People) -> None:
        text = self.cookie(store, people.token("ada"), "http://127.0.0.1:8700")
        assert text.startswith("paretune=")
        assert "HttpOnly" in text
        assert "Secure" not in text


class TestSessions:
    def test_it_allows_what_its_token_does(self, browser: Browser, people: People) -> None:
        client = browser()
        sign_in(client, people.token("ada", Scope.SUBMIT))
        page = client.get("/")
        assert page.status_code == 403
        assert "the scope &#39;read&#39;" in page.text
        assert "<span>ada</span>" in page.text

    @pytest.mark.parametrize("how", ["signed out", "expired", "revoked", "disabled"])
    def test_it_ends(
        self, browser: Browser, people: People, store: Store, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client, token = browser(), people.token("ada")
        sign_in(client, token)
        page = client.get("/")
        assert page.status_code == 200
        kept = client.cookies["paretune"]
        if how == "signed out":
            answer = client.post("/logout", data={"form_token": form_token_on(page)})
            assert (answer.status_code, answer.headers["location"]) == (303, "/login")
            assert "paretune" not in client.cookies
            client.cookies["paretune"] = kept
        elif how == "expired":
            later = utc_now() + SESSION_LASTS + timedelta(seconds=1)
            monkeypatch.setattr("search.store.sessions.utc_now", lambda: later)
        elif how == "revoked":
            store.tokens.revoke(token.split("_")[1])
        else:
            store.users.disable("ada")
        assert client.get("/").status_code == 303
        assert client.get("/api/v1/jobs").status_code == 401

    def test_two_are_apart(self, browser: Browser, people: People) -> None:
        first, second = browser(), browser()
        token = people.token("ada")
        sign_in(first, token)
        sign_in(second, token)
        first.post("/logout", data={"form_token": form_token_on(first.get("/"))})
        assert first.get("/").status_code == 303
        assert second.get("/").status_code == 200

    def test_signing_out_without_a_session(self, browser: Browser, people: People) -> None:
        assert browser().post("/logout").status_code == 303

    def test_who_signed_in_and_out_is_in_the_audit_log(self, browser: Browser, people: People, store: Store) -> None:
        client, token = browser(), people.token("ada")
        sign_in(client, f"{token}x")
        sign_in(client, token)
        client.post("/logout", data={"form_token": "wrong"})
        client.post("/logout", data={"form_token": form_token_on(client.get("/"))})
        rows = store.audit.newest(10)
        assert [(row.user, row.action, row.outcome) for row in reversed(rows)] == [
            (None, "POST /login", "wrong token"),
            ("ada", "POST /login", "ok"),
            ("ada", "POST /logout", "403"),
            ("ada", "POST /logout", "ok"),
        ]
        assert {row.token_id for row in rows} == {None, token.split("_")[1]}


class TestForgery:
    """Another site's page makes the browser send a request, with the session's cookie or to an open server."""

    FOREIGN = (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
    )

    @pytest.mark.parametrize("foreign", FOREIGN)
    def test_signing_in_and_out(self, browser: Browser, people: People, foreign: dict[str, str]) -> None:
        client, token = browser(), people.token("ada")
        assert client.post("/login", data={"token": token}, headers=foreign).status_code == 403
        sign_in(client, token)
        form = {"form_token": form_token_on(client.get("/"))}
        assert client.post("/logout", data=form, headers=foreign).status_code == 403
        assert client.get("/").status_code == 200

    def test_the_token_of_another_session_s_form(self, browser: Browser, people: People) -> None:
        first, second = browser(), browser()
        token = people.token("ada")
        sign_in(first, token)
        sign_in(second, token)
        for form in ({}, {"form_token": ""}, {"form_token": form_token_on(first.get("/"))}):
            assert second.post("/logout", data=form).status_code == 403
        assert second.get("/").status_code == 200
