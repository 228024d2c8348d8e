"""Whose jobs a route shows and changes: every route about a job, for everyone who might ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy
from access_people import People
from access_routes import VALUES, gates_by_route

from dashboards.access.gate import Gate
from search.permissions import Role, Scope
from search.store import Store

ALL = (Scope.READ, Scope.SUBMIT)
SEE = {"submitter", "member", "owner", "administrator"}
CHANGE = SEE - {"member"}
NOBODY_ELSE = {"stranger", "administrator without the scope", "submitter with a token for another project"}
REFUSED = {"/api/v1/jobs/{job}/clone": {"submitter"}}
"""Who is refused of those that see the job: by default its project's members. A clone changes nothing, but is submitted
to the project, of which Ada is no member any more."""

OURS = {"job", "candidate", "export"}
"""Parameters that name a job, or something of a job."""

ELSEWHERE = {"device", "errand_id", "sha256", "token", "upload_id"}
"""Other parameters; a further one is added here, or checked, on purpose."""

OF_JOBS = {
    (method, path): gate
    for (method, path), gate in gates_by_route().items()
    if isinstance(gate, Gate) and any(f"{{{name}}}" in path for name in OURS)
}
LISTS = ("/api/v1/jobs", "/", "/live/jobs")


def test_every_parameter_is_known() -> None:
    assert VALUES.keys() == OURS | ELSEWHERE


@pytest.fixture
def tokens(store: Store) -> dict[str, str]:
    """The token of each who asks for a job of Ada in the project vision."""
    people = People(store)
    for name in ("ada", "ben", "cem", "eve"):
        people.add(name)
    people.add("fay", admin=True)
    people.join("ben", "vision")
    people.join("cem", "vision", Role.OWNER)
    people.join("eve", "audio", Role.OWNER)
    return {
        "submitter": people.token("ada", *ALL),
        "member": people.token("ben", *ALL),
        "owner": people.token("cem", *ALL),
        "administrator": people.token("fay", *ALL, Scope.ADMIN),
        "administrator without the scope": people.token("fay", *ALL),
        "submitter with a token for another project": people.token("ada", *ALL, project="audio"),
        "stranger": people.token("eve", *ALL),
    }


@pytest.fixture
def make_job(store: Store, make_search: Callable[..., Any]) -> Iterator[Callable[[], dict[str, str]]]:
    """Makes a finished job of Ada in the project vision; returns the values of paths' parameters."""
    engine = sqlalchemy.create_engine(store.url)

    def make() -> dict[str, str]:
        search = make_search("net")
        search.add(2)
        search.store_front([0, 1])
        search.end()
        with engine.begin() as connection:
            owner = {"job_id": search.job_id, "user": "ada", "project": "vision"}
            update = "UPDATE jobs SET submitted_by = :user, project = :project WHERE job_id = :job_id"
            connection.execute(sqlalchemy.text(update), owner)
        export = store.export_requests.add(search.ids[0], {}, "ada")
        return {**VALUES, "job": search.job_id, "candidate": search.ids[0], "export": export}

    yield make
    engine.dispose()


def ask(address: str, token: str, method: str, path: str) -> tuple[int, str]:
    """The status of an answer, and its text if it is a refusal."""
    body = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
    with (
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client,
        client.stream(method, path, **body) as answer,
    ):
        return answer.status_code, answer.read().decode() if answer.status_code >= 400 else ""


def is_hidden(status: int, text: str) -> bool:
    """Whether the answer says that there is no such job, candidate or export."""
    return status == 404 and any(f"there is no {what}" in text for what in OURS)


@pytest.mark.parametrize(("method", "path"), OF_JOBS, ids=map(" ".join, OF_JOBS))
def test_who_may(
    address: str, tokens: dict[str, str], make_job: Callable[[], dict[str, str]], method: str, path: str
) -> None:
    safe = method == "GET"
    values = make_job()
    answers = {}
    for who in tokens:
        answers[who] = ask(address, tokens[who], method, path.format_map(values))
        if not safe and who in CHANGE:
            values = make_job()  # the last one may be gone
    hidden = {who for who, (status, text) in answers.items() if is_hidden(status, text)}
    forbidden = {who for who, (status, _) in answers.items() if status == 403}
    assert hidden == NOBODY_ELSE, answers
    assert forbidden == (set() if safe else REFUSED.get(path, {"member"})), answers
    assert all(status not in (401, 405) and status < 500 for status, _ in answers.values()), answers


@pytest.mark.parametrize("path", LISTS)
def test_lists_hold_what_they_may_see(
    address: str, tokens: dict[str, str], make_job: Callable[[], dict[str, str]], path: str
) -> None:
    job_id = make_job()["job"]
    shown = {
        who
        for who, token in tokens.items()
        if job_id in httpx.get(address + path, headers={"Authorization": f"Bearer {token}"}).text
    }
    assert shown == SEE


@pytest.mark.parametrize("prefix", [4, 8])
def test_prefixes_and_names_find_no_more(
    address: str, tokens: dict[str, str], make_job: Callable[[], dict[str, str]], prefix: int
) -> None:
    job_id = make_job()["job"]
    for name in (job_id[:prefix], "net"):
        found = {who for who in tokens if ask(address, tokens[who], "GET", f"/api/v1/jobs/{name}")[0] == 200}
        assert found == SEE
