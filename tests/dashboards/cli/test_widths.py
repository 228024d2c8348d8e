"""Terminals of 40 to 120 columns: ids and names stay whole, commands can be copied, and no table is endless."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_jobs import write_job

from dashboards.cli import run_app
from dashboards.shipped import examples, pages
from hwprofiles.registry import device_origins
from search.store import Store

WIDTHS = (40, 60, 80, 120)
MOST_LINES = 40

Run = Callable[..., str]


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


@pytest.fixture
def run(width: int, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command at the width; returns what it printed, without lines of hints and notes that may be longer."""

    def call(*arguments: str | Path) -> str:
        capsys.readouterr()
        assert run_app(list(map(str, arguments))) == 0
        output, errors = capsys.readouterr()
        return str(output + errors)

    return call


@pytest.fixture
def ids(store: Store, make_search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A job with candidates."""
    monkeypatch.setenv("PARETUNE_DB", store.url)
    search = make_search("a-name-of-a-job")
    search.add(6)
    search.fail()
    search.store_front([0, 2, 4], tied={5: [4]})
    return {"job": search.job_id, "candidates": list(search.ids), "front": [search.ids[n] for n in (2, 4)]}


def table(output: str) -> list[str]:
    """The lines of tables: between a rule and the first line that is none of a table."""
    lines, inside = [], False
    for line in output.splitlines():
        inside = "──" in line or (inside and bool(line.strip()))
        lines += [line] * inside
    return lines


@pytest.mark.parametrize("command", [["devices", "list"], ["examples"], ["docs"], ["devices", "agents"]])
def test_lists(run: Run, command: list[str]) -> None:
    names = {"devices list": [*device_origins()], "examples": list(examples()), "docs": list(pages())}
    output = run(*command)
    for name in names.get(" ".join(command), []):
        assert re.search(rf"(^|\s){re.escape(name)}(\s|$)", output, re.MULTILINE), name
    assert len(table(output)) <= MOST_LINES


@pytest.mark.parametrize("name", ["raspberry-pi-5", "h100", "local-cpu"])
def test_a_device(run: Run, name: str) -> None:
    output = run("devices", "show", name)
    assert name in output
    assert re.search(r"\b[0-9a-f]{64}\b", output)
    assert len(table(output)) <= MOST_LINES


def test_jobs(run: Run, ids: dict[str, Any], width: int) -> None:
    output = run("jobs")
    assert ids["job"] in output
    assert "a-name-of-a-job" in output or "not shown, the terminal is narrow" in output
    assert "…" not in output


def test_a_job(run: Run, ids: dict[str, Any]) -> None:
    assert ids["job"] in run("status", ids["job"])
    front = run("front", ids["job"])
    assert all(candidate in front for candidate in ids["front"])
    assert re.search(r"best compromise: [0-9a-f]{12}", front)
    candidates = run("candidates", ids["job"])
    assert all(candidate in candidates for candidate in ids["candidates"])


def test_a_candidate(run: Run, ids: dict[str, Any]) -> None:
    output = run("show", ids["front"][0])
    assert ids["front"][0] in output
    assert re.search(r"\b[0-9a-f]{64}\b", output)


def test_a_check(run: Run, tmp_path: Path) -> None:
    output = run("check", write_job(tmp_path))
    assert "small: can be run" in output
    assert "objectives: accuracy (max), speedup (max)" in output


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["devices", "--help"], ["help", "devices", "list"]])
def test_help(run: Run, command: list[str]) -> None:
    output = run(*command)
    words = {"--help": ["candidates", "devices", "examples"], "run --help": ["--constraint", "--objective"]}
    for word in words.get(" ".join(command), []):
        assert re.search(rf"(^|\s){word}(\s|$)", output, re.MULTILINE), word
