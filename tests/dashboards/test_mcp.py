"""The tools for coding agents, used by the SDK's own client: in this process, and as an agent starts them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from access_people import People
from command_line import environment
from mcp import StdioServerParameters
from mcp.client.client import Client
from small_jobs import write_classifier

from dashboards.mcp import build_server
from dashboards.server import background
from dashboards.service.local import LocalService
from dashboards.service.remote import RemoteService
from search.permissions import Scope
from search.store import Store

READS = {"list_jobs", "job_status", "job_front", "list_candidates", "show_candidate", "job_log", "list_devices",
         "export_status"}  # fmt: skip
CHANGES = {"submit_job", "clone_job", "pause_job", "resume_job", "export_candidate", "save_export"}
DESTROYS = {"cancel_job", "delete_job", "cancel_export"}

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def caller(server: Any) -> Call:
    """Calls one tool, and returns what it answers; fails with its words."""

    async def ask(tool: str, arguments: dict[str, Any]) -> Any:
        async with Client(server) as client:
            result = await client.call_tool(tool, arguments)
        text = "".join(getattr(part, "text", "") for part in result.content)
        if result.is_error:
            raise RuntimeError(text)
        return result.structured_content

    return lambda tool, **arguments: asyncio.run(ask(tool, arguments))


@pytest.fixture
def call(store: Store) -> Call:
    return caller(build_server(LocalService(store), local=True))


def test_the_tools_and_what_they_do(store: Store) -> None:
    async def ask() -> list[Any]:
        async with Client(build_server(LocalService(store), local=True)) as client:
            return list((await client.list_tools()).tools)

    tools = {tool.name: tool for tool in asyncio.run(ask())}
    assert set(tools) == READS | CHANGES | DESTROYS
    for name, tool in tools.items():
        assert tool.description
        assert tool.annotations.read_only_hint is (name in READS)
        assert bool(tool.annotations.destructive_hint) is (name in DESTROYS)


def test_a_job_from_submission_to_the_end(call: Call) -> None:
    job = call("submit_job", target="digits", devices=["dry-run"], trials=4, name="mine")
    assert (job["state"], job["name"], job["plan"][0]) == ("queued", "mine", "up to 4 candidates (--trials)")
    assert [row["job_id"] for row in call("list_jobs")["jobs"]] == [job["job_id"]]
    assert call("pause_job", job="mine")["state"] == "paused"
    assert call("list_jobs", state="queued")["jobs"] == []
    assert call("resume_job", job="mine")["state"] == "queued"
    other = call("clone_job", job="mine", trials=6)
    assert call("cancel_job", job=other["job_id"])["state"] == "cancelled"
    assert call("delete_job", job=other["job_id"]) == {"deleted": other["job_id"]}
    with pytest.raises(RuntimeError, match=r"there is no job .*; list them with: paretune jobs"):
        call("job_status", job=other["job_id"])


def test_results(call: Call, search: Any) -> None:
    front = call("job_front", job=search.job_id)
    assert [member["trial"] for member in front["front"]] == [0, 4, 8]
    assert set(front["front"][0]["values"]) == {"cosine", "speedup"}
    fastest = call("list_candidates", job=search.job_id, sort="-speedup", limit=2)
    assert (len(fastest["candidates"]), fastest["more"]) == (2, True)
    shown = call("show_candidate", candidate=f"{search.job_id}/4")
    assert shown["metrics"]["speedup"] > 1
    search.store.logs.add(search.lease, "searching")
    assert call("job_log", job=search.job_id)["lines"][0]["text"] == "searching"
    export = call("export_candidate", candidate=search.ids[4], device="local-cpu")
    assert call("export_status", export_id=export["export_id"])["state"] == "queued"
    with pytest.raises(RuntimeError, match="is queued; look at export_status"):
        call("save_export", export_id=export["export_id"], folder="out")
    assert call("cancel_export", export_id=export["export_id"])["state"] == "cancelled"
    with pytest.raises(RuntimeError, match="was cancelled"):
        call("save_export", export_id=export["export_id"], folder="out")


def test_devices(call: Call) -> None:
    assert "dry-run" in {row["device"] for row in call("list_devices")["devices"]}


def test_scopes_hold(store: Store, search: Any) -> None:
    people = People(store)
    people.add("ada")
    reader = people.token("ada", Scope.READ)
    with background(store) as address, RemoteService(address, reader) as service:
        call = caller(build_server(service, local=False))
        with pytest.raises(RuntimeError, match="needs a token with the scope 'submit'"):
            call("submit_job", target="digits")
        with pytest.raises(RuntimeError, match="there is no job"):
            call("job_status", job=search.job_id)
        assert call("list_jobs")["jobs"] == []


def test_an_agent_starts_it(store: Store, tmp_path: Path) -> None:
    write_classifier(tmp_path)
    with background(store) as address:
        command = StdioServerParameters(
            command=sys.executable, args=["-m", "dashboards.main", "mcp", "--server", address], cwd=tmp_path,
            env=environment(tmp_path / "client"),
        )  # fmt: skip
        job = caller(command)("submit_job", target="model.onnx", data="samples.npz", devices=["dry-run"], trials=3)
    assert (job["state"], store.jobs.get(job["job_id"]).files is not None) == ("queued", True)
