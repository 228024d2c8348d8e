"""The server behind nginx and Caddy, as docs/proxy.md configures them: pages, cookies, addresses and event streams."""

from __future__ import annotations

import re
import shutil
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from access_people import People
from proxies import NAME, certificate_of, find_proxy, running_proxy

from dashboards.access.settings import HOSTS, PROXIES
from dashboards.server import background
from search.permissions import Scope
from search.states import JobState
from search.store import Store, this_process

PATIENCE_S = 30.0


@dataclass
class Site:
    """A server behind a proxy, as a browser on another machine meets it."""

    port: int
    certificate: Path
    people: People
    direct: str
    """The server's own address."""

    def client(self, **headers: str) -> httpx.Client:
        """A browser, whose address is not the proxy's."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False  # the name is in the header alone: no resolver knows it
        transport = httpx.HTTPTransport(verify=context, local_address="127.0.0.2")
        headers = {"Host": f"{NAME}:{self.port}", "Origin": f"https://{NAME}:{self.port}"} | headers
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", transport=transport, headers=headers, timeout=PATIENCE_S,
        )  # fmt: skip

    def get(self, client: httpx.Client, path: str) -> httpx.Response:
        return client.get(path, extensions={"sni_hostname": NAME})

    def post(self, client: httpx.Client, path: str, **fields: str) -> httpx.Response:
        return client.post(path, data=fields, extensions={"sni_hostname": NAME})


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty: Path) -> Iterator[Site]:
    if find_proxy(request.param) is None or shutil.which("openssl") is None:
        pytest.skip(f"needs {request.param} and openssl: make proxies")
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copy(empty, folder / "paretune.db")
    with pytest.MonkeyPatch.context() as patch, Store(f"sqlite:///{folder}/paretune.db") as store:
        patch.setenv(HOSTS, NAME)
        patch.setenv(PROXIES, "127.0.0.1")
        people = People(store)
        people.add("ada")
        with background(store) as server, running_proxy(request.param, server, folder) as port:
            yield Site(port, certificate_of(folder), people, server)


def test_a_colleague_signs_in_and_sees_the_pages(site: Site) -> None:
    with site.client() as client:
        assert site.get(client, "/").headers["location"] == "/login"
        answer = site.post(client, "/login", token=site.people.token("ada"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert re.match(r"__Host-paretune=\S+; HttpOnly; Max-Age=\d+; Path=/; SameSite=lax; Secure$", cookie), cookie
        page = site.get(client, "/")
        assert page.status_code == 200
        assert "<span>ada</span>" in page.text
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert site.get(client, "/static/style.css").status_code == 200
        (form_token,) = re.findall(r'name="form_token" value="(\w+)"', page.text)
        assert site.post(client, "/logout", form_token=form_token).status_code == 303
        assert site.get(client, "/").status_code == 303


def test_the_client_s_address_is_noted_and_cannot_be_made_up(site: Site) -> None:
    with site.client(**{"X-Forwarded-For": "192.0.2.66", "X-Real-IP": "192.0.2.66"}) as client:
        assert site.post(client, "/login", token="pt_00000000_x").status_code == 401
    newest = site.people.store.audit.newest(1)[0]
    assert (newest.outcome, newest.address) == ("wrong token", "127.0.0.2")


def test_what_does_not_come_through_the_proxy_is_not_believed(site: Site) -> None:
    """The proxy's address is trusted, no other."""
    headers = {"X-Forwarded-For": "192.0.2.66", "X-Forwarded-Proto": "https", "Authorization": "Bearer pt_00000000_x"}
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.3")) as client:
        assert client.get(f"{site.direct}/api/v1/jobs", headers=headers).status_code == 401
        assert "Secure" not in client.post(f"{site.direct}/login", headers=headers).headers.get("set-cookie", "")
    assert site.people.store.audit.newest(1)[0].address == "127.0.0.3"


def test_another_name_is_refused(site: Site) -> None:
    with site.client(Host=f"evil.example:{site.port}") as client:
        # Caddy has no such site, and answers nothing.
        answer = site.get(client, "/healthz")
        assert answer.status_code == 400 or answer.text == ""


def test_a_page_of_another_site_signs_nobody_in(site: Site) -> None:
    with site.client(Origin="https://evil.example") as client:
        assert site.post(client, "/login", token=site.people.token("ada")).status_code == 403


def test_events_arrive_at_once(site: Site) -> None:
    store, headers = site.people.store, {"Authorization": f"Bearer {site.people.token('ada', Scope.READ)}"}
    job_id = site.people.job("ada")
    with site.client(**headers) as client:
        request = client.build_request("GET", f"/api/v1/jobs/{job_id}/events", extensions={"sni_hostname": NAME})
        with closing(client.send(request, stream=True)) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = (line for line in answer.iter_lines() if line.startswith("event: "))
            assert next(lines) == "event: job"
            lease = store.jobs.lease(job_id, this_process())
            store.jobs.set_state(lease, JobState.RUNNING)
            assert "event: job" in (next(lines) for _ in range(5))
            store.jobs.set_state(lease, JobState.DONE)
            assert list(lines)[-1] == "event: end"


def test_an_agent_is_answered(site: Site) -> None:
    headers = {"Authorization": f"Bearer {site.people.store.agents.new_token('pi')}"}
    with site.client(**headers) as client:
        answer = client.post("/api/v1/agent/lease", json={"instance": "x"}, extensions={"sni_hostname": NAME})
    assert (answer.status_code, answer.json()["title"]) == (403, "Not allowed")
