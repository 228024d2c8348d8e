"""Who is let in."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import timedelta
from typing import Any

import httpx
import pytest
from access_people import People

from dashboards.access import failures, streams
from dashboards.access.failures import Failures, TooManyFailures
from dashboards.access.settings import AccessSettings
from dashboards.server import create_app
from hwprofiles.errors import InvalidInput
from search.permissions import Role, Scope
from search.store import Store
from search.store.columns import utc_now

JOBS = "/api/v1/jobs"


def get(address: str, token: str = "", path: str = JOBS, **headers: str) -> httpx.Response:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return httpx.get(address + path, headers=headers)


class TestTokens:
    def test_a_user_s_token_lets_in(self, address: str, people: People) -> None:
        assert get(address, people.token("ada")).status_code == 200

    def test_without_one_the_answer_says_how(self, address: str, people: People) -> None:
        answer = get(address)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        problem = answer.json()
        assert (problem["title"], problem["instance"]) == ("Not signed in", JOBS)
        assert "Authorization: Bearer" in problem["hint"]

    @pytest.mark.parametrize("header", ["Bearer", "Basic {}", "{}", "Bearer {}x", "Bearer {} {}"])
    def test_other_ways_to_show_it(self, address: str, people: People, header: str) -> None:
        token = people.token("ada")
        answer = httpx.get(address + JOBS, headers={"Authorization": header.format(token, token)})
        assert answer.status_code == 401

    def test_what_is_revoked_or_disabled_is_refused_at_once(self, address: str, people: People, store: Store) -> None:
        kept, revoked = people.token("ada"), people.token("ada")
        assert get(address, revoked).status_code == 200
        store.tokens.revoke(revoked.split("_")[1])
        answer = get(address, revoked)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert get(address, kept).status_code == 200
        store.users.disable("ada")
        assert get(address, kept).status_code == 401

    def test_one_that_expires(self, address: str, people: People) -> None:
        assert get(address, people.token("ada", expires_at=utc_now() + timedelta(hours=1))).status_code == 200
        assert get(address, people.token("ada", expires_at=utc_now())).status_code == 401

    def test_a_scope_that_it_lacks_is_named(self, address: str, people: People) -> None:
        answer = get(address, people.token("ada", Scope.SUBMIT))
        assert (answer.status_code, answer.json()["title"]) == (403, "Not allowed")
        assert "the scope 'read'; yours has submit" in answer.json()["detail"]

    def test_a_token_in_the_address_is_none(self, address: str, people: People) -> None:
        token = people.token("ada")
        answer = get(address, path=f"{JOBS}?token={token}&access_token={token}")
        assert answer.status_code == 422, "a parameter that the path does not have"
        assert "jobs" not in answer.json()


class TestOpenServer:
    """On the loopback, without users, everything is allowed, as on the command line of the same machine."""

    def test_it_asks_nobody(self, address: str) -> None:
        assert get(address).status_code == 200
        assert get(address, path="/").status_code == 200

    def test_it_closes_with_the_first_user(self, address: str, store: Store) -> None:
        assert get(address).status_code == 200
        store.users.add("ada")
        assert get(address).status_code == 401
        store.users.disable("ada")
        assert get(address).status_code == 401

    def test_a_wrong_token_is_refused_anyway(self, address: str) -> None:
        assert get(address, "pt_00000000_x").status_code == 401

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
    def test_it_is_closed_to_what_a_proxy_passes_on(self, address: str, header: str) -> None:
        answer = get(address, **{header: "127.0.0.1"})
        assert answer.status_code == 401
        assert "paretune users add" in answer.json()["hint"]

    @pytest.mark.parametrize(
        ("settings", "peer", "host", "status"),
        [
            (AccessSettings(), "127.0.0.1", "localhost", 200),
            (AccessSettings(), "::1", "[::1]", 200),
            (AccessSettings(), "192.0.2.7", "localhost", 401),
            (AccessSettings(hosts=frozenset({"paretune.example"})), "127.0.0.1", "paretune.example", 401),
            (AccessSettings("0.0.0.0"), "127.0.0.1", "localhost", 401),
        ],
    )
    def test_it_is_open_to_this_machine_alone(
        self, store: Store, settings: AccessSettings, peer: str, host: str, status: int
    ) -> None:
        async def ask() -> int:
            transport = httpx.ASGITransport(app=create_app(store, settings), client=(peer, 5000))
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                return (await client.get(JOBS)).status_code

        assert asyncio.run(ask()) == status


class TestHosts:
    SETTINGS = AccessSettings("0.0.0.0", frozenset({"paretune.example", "2001:db8::1"}))

    @pytest.mark.parametrize(
        ("host", "allowed"),
        [
            ("127.0.0.1:8700", True),
            ("localhost", True),
            ("LOCALHOST", True),
            ("[::1]:80", True),
            ("paretune.example", True),
            ("Paretune.example:8700", True),
            ("[2001:db8::1]:8700", True),
            ("192.0.2.1:8700", True),
            ("127.0.0.1.example.org", False),
            ("paretune.example.org", False),
            ("10.0.0.1:8700", False),
            ("", False),
            (":8700", False),
        ],
    )
    def test_a_name_of_the_server_or_the_address_that_was_reached(self, host: str, allowed: bool) -> None:
        assert self.SETTINGS.allows_host(host, "192.0.2.1") is allowed

    def test_any_other_is_turned_away_whatever_it_asks(self, address: str, people: People) -> None:
        for path in (JOBS, "/", "/login", "/healthz", "/openapi.json", "/static/style.css", "/nothing"):
            answer = get(address, people.token("ada"), path, Host="evil.example")
            assert answer.status_code == 400
            assert "PARETUNE_HOSTS" in answer.json()["hint"]


class TestSettings:
    def test_they_come_from_the_environment(self) -> None:
        settings = AccessSettings.of(
            "10.0.0.5", {"PARETUNE_HOSTS": "Paretune.example, 192.0.2.1 ,", "PARETUNE_PROXIES": "127.0.0.1,10.0.0.0/24"}
        )
        assert settings.hosts == {"paretune.example", "192.0.2.1"}
        assert settings.proxies == ("127.0.0.1", "10.0.0.0/24")
        assert not settings.on_loopback
        assert AccessSettings.of("localhost", {}) == AccessSettings("localhost")

    @pytest.mark.parametrize("hosts", ["*", "*.example.org", "https://a.example", "a.example:8700", "a b"])
    def test_names_of_hosts(self, hosts: str) -> None:
        with pytest.raises(InvalidInput, match="PARETUNE_HOSTS"):
            AccessSettings.of("127.0.0.1", {"PARETUNE_HOSTS": hosts})

    @pytest.mark.parametrize("proxies", ["*", "proxy.example", "10.0.0.1/8", "10.0.0"])
    def test_addresses_of_proxies(self, proxies: str) -> None:
        with pytest.raises(InvalidInput, match="PARETUNE_PROXIES"):
            AccessSettings.of("127.0.0.1", {"PARETUNE_PROXIES": proxies})


class TestFailures:
    def test_many_wrong_tokens_are_refused_for_a_while(
        self, address: str, people: People, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failures, "MOST", 3)
        working, unused = people.token("ada"), people.token("ada")
        assert get(address, working).status_code == 200
        assert [get(address, f"pt_00000000_{n}").status_code for n in range(4)] == [401, 401, 401, 429]
        answer = get(address, unused)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 61
        # Whoever was let in before goes on, beside a neighbour that guesses.
        assert get(address, working).status_code == 200
        assert len(people.store.audit.newest(100)) == 3

    def test_they_are_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counted = Failures()
        for _ in range(failures.MOST):
            counted.check("192.0.2.7")
            counted.note("192.0.2.7")
        with pytest.raises(TooManyFailures):
            counted.check("192.0.2.7")
        counted.check("192.0.2.8")
        now = time.monotonic()
        monkeypatch.setattr(failures.time, "monotonic", lambda: now + failures.WINDOW_S + 1)
        counted.check("192.0.2.7")

    def test_a_network_of_ipv6_counts_together(self) -> None:
        counted = Failures()
        for number in range(failures.MOST):
            counted.note(f"2001:db8::{number:x}")
        with pytest.raises(TooManyFailures):
            counted.check("2001:db8::ffff")
        counted.check("2001:db8:0:1::1")

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(failures, "_MOST_ADDRESSES", 10)
        counted = Failures()
        for number in range(50):
            counted.note(f"192.0.2.{number}")
        assert len(counted._times) == 10


class TestStreams:
    @pytest.mark.parametrize("change", ["revoked", "disabled", "made an owner"])
    def test_a_stream_ends_when_its_reader_s_rights_change(
        self, address: str, people: People, store: Store, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "CHECK_S", 0.0)
        monkeypatch.setattr("dashboards.api.feeds.POLL_S", 0.05)
        monkeypatch.setattr("dashboards.api.feeds.HEARTBEAT_S", 0.05)
        job_id = people.job("ada")
        token = people.token("ada")
        ended = threading.Event()

        def read() -> None:
            with httpx.stream("GET", f"{address}{JOBS}/{job_id}/events", headers=bearer(token), timeout=30) as answer:
                for _ in answer.iter_lines():
                    pass
            ended.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert not ended.wait(0.5)
        if change == "revoked":
            store.tokens.revoke(token.split("_")[1])
        elif change == "disabled":
            store.users.disable("ada")
        else:
            people.join("ada", "vision", Role.OWNER)
        assert ended.wait(20)
        reader.join()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class TestAuditLog:
    def test_wrong_tokens_and_refusals_are_noted(self, address: str, people: People, store: Store) -> None:
        token = people.token("ada", Scope.SUBMIT)
        get(address, "pt_00000000_secret")
        get(address, token)
        get(address)
        refused, wrong = store.audit.newest(10)
        assert (wrong.user, wrong.action, wrong.address, wrong.outcome) == (
            None, f"GET {JOBS}", "127.0.0.1", "wrong token",
        )  # fmt: skip
        assert (refused.user, refused.action, refused.object, refused.outcome) == ("ada", f"GET {JOBS}", JOBS, "403")
        assert refused.token_id == token.split("_")[1]

    def test_no_log_line_holds_a_secret(
        self, address: str, people: People, store: Store, caplog: pytest.LogCaptureFixture, capfd: Any
    ) -> None:
        for logger in ("paretune", "uvicorn"):
            caplog.set_level(logging.DEBUG, logger)
        token, device = people.token("ada"), store.agents.new_token("pi")
        for path in (JOBS, "/", "/nothing", "/api/v1/agent/lease", "/api/v1/jobs/ffff"):
            get(address, token, path)
            get(address, f"{token}x", path)
            get(address, device, path)
        httpx.post(f"{address}/login", data={"token": token})
        httpx.post(f"{address}/login", data={"token": f"{token}x"})
        httpx.post(f"{address}/api/v1/agent/lease", json={"instance": "x"}, headers=bearer(device))
        printed = capfd.readouterr()
        text = caplog.text + printed.out + printed.err + str(store.audit.newest(100))
        assert "paretune.agents" not in text or device not in text
        for secret in (token, token.rpartition("_")[2], device):
            assert secret not in text
