"""The routes of agents: who may speak, what they may see, and what is turned away."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboards import server
from dashboards.access.settings import AccessSettings
from dashboards.api import agents as routes
from dashboards.server import background, create_app
from evaluators.devices.request import VERSION, FileRef
from hwprofiles import Profile, find_device
from hwprofiles.errors import InvalidInput
from search.devices.blobs import Blobs
from search.states import RequestState
from search.store import Store

PROFILE = replace(find_device("dry-run"), device="pi", simulated=False, agent=True, cores=(1,))
REQUEST = {"baseline": None, "candidate": {"sha256": "c" * 64}, "sample": {"sha256": "d" * 64}}
DONE = {"peak_memory_bytes": 4096}


class Agent:
    """Requests of one agent process."""

    def __init__(self, address: str, token: str, instance: str = "first") -> None:
        self.instance = instance
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=f"{address}/api/v1/agent/", headers=headers, timeout=60, trust_env=False)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.http.post(path, json={"instance": self.instance, **body})

    def register(self, **changed: Any) -> httpx.Response:
        body: dict[str, Any] = {
            "version": VERSION, "profile": PROFILE.to_dict(), "runtimes": ["onnxruntime"], "cores": [[1], [0, 1]],
        }  # fmt: skip
        return self.post("register", **body | changed)

    def lease(self) -> dict[str, Any]:
        answer = self.post("lease")
        assert answer.status_code == 200, answer.text
        leased: dict[str, Any] = answer.json()
        return leased


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is prepared, to be copied: preparing takes longer than most tests here."""
    path = tmp_path_factory.mktemp("empty") / "paretune.db"
    Store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store(tmp_path: Path, empty: Path) -> Iterator[Store]:
    shutil.copy(empty, tmp_path / "paretune.db")
    with Store(f"sqlite:///{tmp_path / 'paretune.db'}") as opened:
        yield opened


@pytest.fixture
def token(store: Store) -> str:
    return store.agents.new_token("pi")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "WAIT_S", 0.3)


@pytest.fixture
def agent(address: str, token: str) -> Iterator[Agent]:
    """One that has registered."""
    opened = Agent(address, token)
    assert opened.register().status_code == 200
    yield opened
    opened.http.close()


def ask(store: Store, errand_id: str = "1" * 32) -> str:
    store.requests.enqueue(errand_id, PROFILE, REQUEST)
    return errand_id


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["hint"]
    return document


def opened(address: str, path: str, length: int, body: str = "", token: str = "") -> socket.socket:
    """A connection on which a request was sent whose body is to have that length."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    lines = f"POST /api/v1/agent/{path} HTTP/1.1", "Host: x", f"Content-Length: {length}"
    allowed = [f"Authorization: Bearer {token}"] if token else []
    connection.sendall("\r\n".join([*lines, *allowed, "", body]).encode())
    return connection


ROUTES = [
    ("POST", "register"),
    ("POST", "lease"),
    ("GET", f"errands/{'1' * 32}/files/{'c' * 64}"),
    ("POST", f"errands/{'1' * 32}/heartbeat"),
    ("POST", f"errands/{'1' * 32}/result"),
    ("POST", f"errands/{'1' * 32}/release"),
]


class TestTokens:
    def test_these_are_all_routes(self, store: Store) -> None:
        paths = create_app(store).openapi()["paths"]
        found = {(m.upper(), p) for p, methods in paths.items() for m in methods if p.startswith("/api/v1/agent/")}
        assert len(found) == len(ROUTES)

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    @pytest.mark.parametrize("wrong", ["", "wrong", "revoked"])
    def test_no_route_answers_without_one(
        self, store: Store, address: str, token: str, method: str, path: str, wrong: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        ask(store)
        if wrong == "revoked":
            store.agents.revoke("pi")
        stranger = Agent(address, token if wrong == "revoked" else wrong)
        with closing(stranger.http):
            answer = stranger.http.request(method, path, content=b"{}" if method == "POST" else None)
        assert "missing, unknown or revoked" in problem(answer, 401)["detail"]
        assert store.requests.get("1" * 32).state is RequestState.QUEUED
        assert f"/api/v1/agent/{path}" in caplog.text
        assert token not in caplog.text

    @pytest.mark.parametrize("scheme", ["Basic {}", "{}", "Bearer", "Bearer {} more"])
    def test_other_ways_to_show_it(self, address: str, token: str, scheme: str) -> None:
        headers = {"Authorization": scheme.format(token)}
        answer = httpx.post(f"{address}/api/v1/agent/lease", json={}, headers=headers, trust_env=False)
        problem(answer, 401)

    def test_what_strangers_send_is_not_read(self, address: str) -> None:
        with opened(address, "register", 10**9) as connection:
            assert connection.recv(1000).startswith(b"HTTP/1.1 401")

    def test_a_token_is_for_its_device_alone(self, store: Store, address: str) -> None:
        with closing(Agent(address, store.agents.new_token("phone")).http) as http:
            phone = Agent(address, "")
            phone.http = http
            assert "device 'phone', not 'pi'" in problem(phone.register(), 403)["detail"]
        assert store.agents.all()[-1].profile is None


class TestRegistering:
    def test_what_an_agent_says_is_stored(self, store: Store, agent: Agent) -> None:
        row = store.agents.row("pi")
        assert row is not None
        assert (row.profile, row.offer["cores"]) == (PROFILE, [[1], [0, 1]])

    def test_an_agent_of_an_earlier_version_names_no_type_of_cores(
        self, store: Store, address: str, token: str
    ) -> None:
        earlier = Agent(address, token)
        with closing(earlier.http):
            profile = {name: value for name, value in PROFILE.to_dict().items() if name != "core_type"}
            assert earlier.register(profile=profile).status_code == 200
        row = store.agents.row("pi")
        assert row is not None
        assert row.profile is not None
        assert row.profile.digest == PROFILE.digest

    WRONG = {  # noqa: RUF012
        "another version": {"version": VERSION + 1},
        "no profile": {"profile": None},
        "a profile with less": {"profile": {"device": "pi"}},
        "a profile with more": {"profile": {**PROFILE.to_dict(), "command": "rm"}},
        "a profile of text": {"profile": {**PROFILE.to_dict(), "memory_bytes": "much"}},
        "a profile of long texts": {"profile": {**PROFILE.to_dict(), "processor": "x" * 256}},
        "a profile of a list": {"profile": {**PROFILE.to_dict(), "processor": ["x"]}},
        "a type of cores that is a list": {"profile": {**PROFILE.to_dict(), "core_type": ["fast"]}},
        "a local profile": {"profile": {**PROFILE.to_dict(), "agent": False}},
        "a modelled profile": {"profile": {**PROFILE.to_dict(), "simulated": True}},
        "no cores": {"cores": []},
        "too many cores": {"cores": [list(range(n)) for n in range(1, 66)]},
        "the wrong cores": {"cores": [[0, 1]]},
        "cores of text": {"cores": [["a"]]},
        "runtimes of numbers": {"runtimes": [1]},
        "one field more": {"more": 1},
    }

    @pytest.mark.parametrize("wrong", WRONG)
    def test_what_cannot_be_is_refused(self, store: Store, address: str, token: str, wrong: str) -> None:
        stranger = Agent(address, token)
        with closing(stranger.http):
            problem(stranger.register(**self.WRONG[wrong]), 400)
        assert store.agents.all()[0].profile is None

    def test_an_instance_is_a_plain_name(self, address: str, token: str) -> None:
        for instance in ("", "x" * 65, "a b", 7):
            stranger = Agent(address, token, instance)  # type: ignore[arg-type]
            with closing(stranger.http):
                problem(stranger.register(), 400)

    def test_the_newest_agent_is_the_only_one(self, store: Store, address: str, token: str, agent: Agent) -> None:
        ask(store)
        newer = Agent(address, token, "second")
        with closing(newer.http):
            assert newer.register().status_code == 200
            assert "another agent has registered" in problem(agent.post("lease"), 403)["detail"]
            assert newer.lease()["epoch"] == 1


class TestErrands:
    def test_from_lease_to_result(self, store: Store, agent: Agent) -> None:
        errand_id = ask(store)
        leased = agent.lease()
        assert leased == {"errand_id": errand_id, "epoch": 1, "request": REQUEST}
        assert agent.post(f"errands/{errand_id}/heartbeat", epoch=1).json() == {"wanted": True}
        assert agent.post(f"errands/{errand_id}/result", epoch=1, answer=DONE).json() == {"state": "done"}
        row = store.requests.get(errand_id)
        assert (row.state, row.result) == (RequestState.DONE, DONE)

    def test_without_one_the_agent_waits_a_while(self, agent: Agent) -> None:
        answer = agent.post("lease")
        assert (answer.status_code, answer.content) == (204, b"")

    def test_one_that_comes_meanwhile_is_given_at_once(
        self, store: Store, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(routes, "WAIT_S", 60.0)
        later = threading.Timer(0.3, ask, [store])
        later.start()
        assert agent.lease()["errand_id"] == "1" * 32
        later.join()

    def test_who_is_gone_is_given_nothing(self, store: Store, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(routes, "WAIT_S", 60.0)
        monkeypatch.setattr(routes, "_LOOK_S", 0.02)
        with pytest.raises(httpx.ReadTimeout):
            agent.http.post("lease", json={"instance": "first"}, timeout=0.1)
        time.sleep(0.1)
        errand_id = ask(store)
        time.sleep(0.2)
        assert store.requests.get(errand_id).state is RequestState.QUEUED

    @pytest.mark.parametrize("then", ["lease", "register"])
    def test_the_newest_request_is_the_only_one_that_waits(
        self, store: Store, token: str, address: str, agent: Agent, monkeypatch: pytest.MonkeyPatch, then: str
    ) -> None:
        """What lies between may keep an earlier one open although its agent has given it up."""
        monkeypatch.setattr(routes, "WAIT_S", 60.0)
        monkeypatch.setattr(routes, "_LOOK_S", 0.02)
        with opened(address, "lease", 20, '{"instance":"first"}', token) as earlier:
            time.sleep(0.1)
            if then == "register":
                agent.register()
                assert earlier.recv(1000).startswith(b"HTTP/1.1 204")
            later = threading.Timer(0.1, ask, [store])
            later.start()
            epoch = agent.lease()["epoch"]
            later.join()
            if then == "lease":
                assert earlier.recv(1000).startswith(b"HTTP/1.1 204")
        assert agent.post(f"errands/{'1' * 32}/heartbeat", epoch=epoch).json() == {"wanted": True}

    def test_a_stopping_server_lets_nobody_wait(self, store: Store, token: str, monkeypatch: Any) -> None:
        monkeypatch.setattr(routes, "WAIT_S", 60.0)
        answers: list[httpx.Response] = []
        with background(store) as address:
            waiting = Agent(address, token)
            waiting.register()
            asking = threading.Thread(target=lambda: answers.append(waiting.post("lease")))
            asking.start()
            while (row := store.agents.row("pi")) is None or row.seen_at is None:
                pass
        asking.join()
        waiting.http.close()
        assert [answer.status_code for answer in answers] == [204]

    def test_a_cancelled_one_is_not_wanted(self, store: Store, agent: Agent) -> None:
        errand_id = ask(store)
        agent.lease()
        store.requests.cancel(errand_id)
        assert agent.post(f"errands/{errand_id}/heartbeat", epoch=1).json() == {"wanted": False}
        problem(agent.post(f"errands/{errand_id}/result", epoch=1, answer=DONE), 409)

    def test_given_back(self, store: Store, agent: Agent) -> None:
        errand_id = ask(store)
        agent.lease()
        assert agent.post(f"errands/{errand_id}/release", epoch=1).status_code == 200
        assert agent.lease()["epoch"] == 2

    @pytest.mark.parametrize("verb", ["heartbeat", "result", "release"])
    def test_a_stale_lease_writes_nothing(self, store: Store, agent: Agent, verb: str) -> None:
        errand_id = ask(store)
        agent.lease()
        body = {"answer": DONE} if verb == "result" else {}
        for wrong, epoch in ((errand_id, 0), (errand_id, 2), ("2" * 32, 1)):
            document = problem(agent.post(f"errands/{wrong}/{verb}", epoch=epoch, **body), 409)
            assert "not valid any more" in document["detail"]
        assert store.requests.get(errand_id).state is RequestState.LEASED

    STATES = {  # noqa: RUF012
        "crashed": RequestState.FAILED, "timeout": RequestState.FAILED, "unavailable": RequestState.REFUSED,
    }  # fmt: skip

    @pytest.mark.parametrize("state", STATES)
    def test_failures(self, store: Store, agent: Agent, state: str) -> None:
        errand_id = ask(store)
        agent.lease()
        error = {"error": {"state": state, "message": "m", "hint": "h"}}
        assert agent.post(f"errands/{errand_id}/result", epoch=1, answer=error).status_code == 200
        assert store.requests.get(errand_id).state is self.STATES[state]

    @pytest.mark.parametrize(
        "answer",
        [None, [], {}, "done", {"shell": "x"}, {**DONE, "error": None}, {"error": {"state": "crashed"}}],
        ids=str,
    )
    def test_answers_of_another_form(self, store: Store, agent: Agent, answer: Any) -> None:
        errand_id = ask(store)
        agent.lease()
        problem(agent.post(f"errands/{errand_id}/result", epoch=1, answer=answer), 400)
        assert store.requests.get(errand_id).state is RequestState.LEASED


class TestBodies:
    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"instance": NaN}', b"[" * 60_000], ids=lambda c: repr(c[:10])
    )
    def test_what_is_no_json_object(self, agent: Agent, content: bytes) -> None:
        problem(agent.http.post("lease", content=content), 400)

    def test_numbers_that_are_none(self, store: Store, agent: Agent) -> None:
        errand_id = ask(store)
        agent.lease()
        content = json.dumps({"instance": "first", "epoch": 1, "answer": {"measurement": {"ratio": float("nan")}}})
        for wrong in (content, content.replace("NaN", "1e999")):
            problem(agent.http.post(f"errands/{errand_id}/result", content=wrong), 400)

    def test_one_that_is_too_large(
        self, store: Store, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(routes, "MAX_RESULT_BYTES", 10_000)
        errand_id = ask(store)
        agent.lease()
        answer = {"measurement": {"samples": ["x" * 20_000]}}
        problem(agent.post(f"errands/{errand_id}/result", epoch=1, answer=answer), 413)
        assert store.requests.get(errand_id).result is None
        assert "more than 10000 bytes" in caplog.text

    def test_only_results_are_long(self, store: Store, agent: Agent) -> None:
        errand_id, long = ask(store), "x" * 2**16
        agent.lease()
        problem(agent.post("register", more=long), 413)
        problem(agent.post("lease", more=long), 413)
        for verb in ("heartbeat", "release"):
            problem(agent.post(f"errands/{errand_id}/{verb}", epoch=1, more=long), 413)
        answer = {"measurement": {"samples": [long]}}
        assert agent.post(f"errands/{errand_id}/result", epoch=1, answer=answer).status_code == 200

    def test_one_that_does_not_arrive(
        self, address: str, token: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(routes, "_BODY_S", 0.2)
        with opened(address, "lease", 9, "{", token) as connection:
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
        assert "did not arrive within 0.2 s" in caplog.text


class TestRefusals:
    """Each is logged, once: who asked, for what, and why not."""

    CASES = {  # noqa: RUF012
        400: ("lease", {"more": 1}, "must hold instance"),
        401: ("lease", {}, "missing, unknown or revoked"),
        403: ("lease", {"instance": "other"}, "another agent has registered"),
        404: ("nothing", {}, "there is nothing at"),
        409: (f"errands/{'9' * 32}/heartbeat", {"epoch": 1}, "not valid any more"),
        413: ("lease", {"more": "x" * 2**16}, "more than 65536 bytes"),
    }  # fmt: skip

    @pytest.mark.parametrize("status", CASES)
    def test_each(self, agent: Agent, token: str, caplog: pytest.LogCaptureFixture, status: int) -> None:
        path, body, why = self.CASES[status]
        if status == 401:
            agent.http.headers["Authorization"] = "Bearer wrong"
        answer = agent.http.post(path, json={"instance": "first", **body})
        problem(answer, status)
        (record,) = [one for one in caplog.records if one.name == "paretune.server"]
        said = record.getMessage()
        assert record.levelname == "WARNING"
        assert all(part in said for part in ("127.0.0.1", f"/api/v1/agent/{path}", f"with {status}", why))
        assert token not in said

    def test_nothing_in_the_log_is_as_the_asker_wrote_it(self, agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
        problem(agent.http.post("one%0Atwo%1B%5B31m", json={}), 404)
        assert "\n" not in caplog.records[-1].getMessage()
        assert "\x1b" not in caplog.text

    def test_what_is_no_agent_s_is_not(self, address: str, caplog: pytest.LogCaptureFixture) -> None:
        assert httpx.get(f"{address}/api/v1/jobs/nope", trust_env=False).status_code == 404
        assert not caplog.records


class TestFiles:
    @pytest.fixture
    def errand(self, store: Store, home: Path) -> tuple[str, str]:
        """An errand that needs a file that is here, and its digest."""
        file = Blobs().put_bytes(b"weights")
        store.requests.enqueue("3" * 32, PROFILE, {"candidate": {"sha256": file.sha256}})
        return "3" * 32, file.sha256

    def test_of_a_held_errand(self, agent: Agent, errand: tuple[str, str]) -> None:
        path = f"errands/{errand[0]}/files/{errand[1]}"
        problem(agent.http.get(path), 404)
        agent.lease()
        answer = agent.http.get(path)
        assert (answer.status_code, answer.content) == (200, b"weights")
        rest = agent.http.get(path, headers={"Range": "bytes=3-"})
        assert (rest.status_code, rest.content) == (206, b"ghts")
        agent.post(f"errands/{errand[0]}/result", epoch=1, answer=DONE)
        problem(agent.http.get(path), 404)

    def test_others_are_not_given(self, agent: Agent, errand: tuple[str, str]) -> None:
        other = Blobs().put_bytes(b"another device's")
        agent.lease()
        for name in (other.sha256, "..%2F..%2Fparetune.db", "%2e%2e", "0" * 64):
            assert agent.http.get(f"errands/{errand[0]}/files/{name}").status_code == 404

    def test_one_that_went_missing(
        self, agent: Agent, errand: tuple[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        agent.lease()
        Blobs().remove([FileRef(errand[1], 0)], ())
        document = problem(agent.http.get(f"errands/{errand[0]}/files/{errand[1]}"), 404)
        assert "PARETUNE_HOME" in document["hint"]
        assert "PARETUNE_HOME" in caplog.text


class TestFromElsewhere:
    """Off the loopback, a token of an agent is enough to serve, and is for agents alone."""

    def test_a_token_is_needed_to_serve(self, store: Store) -> None:
        for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
            with pytest.raises(InvalidInput, match="no token that anyone could use"):
                server.serve(store, host, 0)

    def test_a_revoked_token_is_none(self, store: Store, token: str) -> None:
        store.agents.revoke("pi")
        with pytest.raises(InvalidInput, match="no token that anyone could use"):
            server.serve(store, "0.0.0.0", 0)

    @pytest.fixture
    def ask_from(self, store: Store, token: str) -> Any:
        """The statuses of requests with the agent's token, as the application sees them from another machine."""

        async def request(path: str, peer: str, host: str) -> int:
            app = create_app(store, AccessSettings("0.0.0.0", frozenset({"paretune.example"})))
            transport = httpx.ASGITransport(app=app, client=(peer, 5000))
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                headers = {"Authorization": f"Bearer {token}"}
                if path.startswith("/api/v1/agent/"):
                    return (await client.post(path, headers=headers, json={"instance": "x"})).status_code
                return (await client.get(path, headers=headers)).status_code

        return request

    @pytest.mark.parametrize("peer", ["192.0.2.7", "2001:db8::1", "127.0.0.1", "testclient"])
    def test_pages_and_rest_are_not_for_agents(self, ask_from: Any, peer: str) -> None:
        for path, status in {
            "/": 303,
            "/devices": 303,
            "/api/v1/jobs": 401,
            "/live/jobs": 401,
            "/healthz": 200,
        }.items():
            assert asyncio.run(ask_from(path, peer, "paretune.example")) == status
            assert asyncio.run(ask_from(path, peer, "another.example")) == 400

    def test_agents_are_answered_wherever_they_are(self, ask_from: Any) -> None:
        # Known by its token, and told that it has not registered.
        assert asyncio.run(ask_from("/api/v1/agent/lease", "192.0.2.7", "another.example")) == 403


def test_a_database_in_the_way_is_a_problem(agent: Agent, store: Store, tmp_path: Path) -> None:
    store.close()
    (tmp_path / "paretune.db").write_bytes(b"junk" * 1000)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"paretune.db{suffix}").unlink(missing_ok=True)
    problem(agent.post("lease"), 503)


def test_profiles_keep_their_digest_on_the_way(store: Store, agent: Agent) -> None:
    row = store.agents.row("pi")
    assert row is not None
    assert row.profile is not None
    assert Profile.from_dict(json.loads(json.dumps(PROFILE.to_dict()))).digest == row.profile.digest
