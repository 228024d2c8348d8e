"""The OpenAPI document is valid and true: nothing that it allows, nor what it does not, makes the server fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from access_people import People
from driven_search import open_search
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dashboards.server import background
from dashboards.service.local import LocalService
from search.permissions import Scope
from search.store import Store

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "2"))
"""Requests for each operation, reader and kind; ``make schemathesis`` sends many."""

READERS: dict[str, list[Scope]] = {"nobody": [], "everything": list(Scope), "a device": []}
if EXAMPLES > 10:
    READERS |= {f"only {scope}": [scope] for scope in Scope}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
          response_headers_conformance]  # fmt: skip
KINDS = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
ENDS = ("DELETE /api/v1/jobs/{job}", "POST /api/v1/jobs/{job}/resume")
"""What would be no job that has ended any more."""

WAITS = "/api/v1/agent/lease"
"""Waits for an errand, as long as a test may take."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, str]]:
    """A store with users, and a server over it that wants to know who asks."""
    folder = tmp_path_factory.mktemp("openapi")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETUNE_HOME", str(folder / "home"))
        patch.setattr("dashboards.access.failures.MOST", 10**9)  # wrong tokens are sent by the hundred
        with Store(f"sqlite:///{folder / 'paretune.db'}") as store:
            People(store).add("ada", admin=True)
            with background(store) as address:
                yield store, address


@pytest.fixture(scope="module")
def known(served: tuple[Store, str]) -> dict[str, str]:
    """What exists, by the names of parameters: a job that has ended, its candidate, its export, a device."""
    store, _ = served
    search = open_search(store)
    search.add(3)
    search.store_front([0, 1])
    search.store.logs.add(search.lease, "a line")
    search.end()
    store.jobs.release(search.lease)
    export = LocalService(store).export(search.ids[0], {"device": "local-cpu"})["export_id"]
    return {"job": search.job_id, "candidate": search.ids[1], "export": export, "device": "dry-run"}


@pytest.fixture(scope="module")
def document(served: tuple[Store, str]) -> dict[str, Any]:
    return dict(httpx.get(f"{served[1]}/openapi.json").json())


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            place = f"{method} {path}"
            assert operation["summary"], place
            answers = operation["responses"]
            assert answers["default"]["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }, place
            assert any(status.startswith("2") for status in answers), place
            for parameter in operation.get("parameters", ()):
                assert parameter["in"] != "query" or "schema" in parameter, place
    assert not [name for name in document["components"]["schemas"] if "ValidationError" in name]


@pytest.mark.parametrize("reader", READERS)
def test_no_request_makes_the_server_fail(
    served: tuple[Store, str], known: dict[str, str], document: dict[str, Any], reader: str
) -> None:
    store, address = served
    token = People(store).token("ada", *READERS[reader]) if READERS[reader] else ""
    token = store.agents.new_token("phone") if reader == "a device" else token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=address)
    for result in schema.get_all_operations():
        operation = result.ok()
        of_agents = operation.path.startswith("/api/v1/agent/")
        if operation.path == WAITS or of_agents != (reader == "a device"):
            continue
        named = {each.name: known[each.name] for each in operation.path_parameters if each.name in known}
        for mode in KINDS:
            for names in [None, named] if named and operation.label not in ENDS else [None]:
                _send(operation.as_strategy(generation_mode=mode, path_parameters=names), headers)


def _send(cases: Any, headers: dict[str, str]) -> None:
    """Sends requests, and looks at what is answered."""

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases)
    def send(case: Any) -> None:
        answer = case.call(headers=headers, timeout=30)
        case.validate_response(answer, checks=CHECKS)

    with suppress(Unsatisfiable):  # nothing to get wrong
        send()
