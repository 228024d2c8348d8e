"""Completion, as a shell asks for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import COMMAND, PATIENCE_S, environment, paretune
from small_jobs import FinishedJob

from search.short_names import candidate_name, short_name

Complete = Callable[[str], list[str]]


def ask(line: str, home: Path) -> list[str]:
    """The completions of a command line up to its cursor, in bash."""
    words = line.split(" ")
    done = subprocess.run(
        COMMAND,
        env=environment(home, _PARETUNE_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)),
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def complete(modelled_job: FinishedJob) -> Complete:
    return lambda line: ask(line, modelled_job.home)


def test_of_commands_and_options(complete: Complete) -> None:
    assert complete("paretune cand") == ["candidates"]
    assert complete("paretune run --min") == ["--minutes"]
    assert complete("paretune devices ch") == ["check"]
    assert complete("paretune front x --format j") == ["json"]


def test_of_jobs(complete: Complete, modelled_job: FinishedJob) -> None:
    name = short_name(modelled_job.job_id)
    assert complete("paretune front ") == [name, "small"]
    assert complete(f"paretune status {name[:3]}")[0] == name
    assert complete(f"paretune resume {modelled_job.job_id[:4]}") == [modelled_job.job_id]


def test_of_candidates(complete: Complete, modelled_job: FinishedJob) -> None:
    members = modelled_job.front["front"]
    found = complete("paretune show ")
    assert {candidate_name(modelled_job.job_id, member["trial"]) for member in members} <= set(found)
    assert {member["candidate_id"] for member in members} <= set(found)
    assert len(complete("paretune export small/")) == 24


def test_of_devices_and_metrics(complete: Complete) -> None:
    assert complete("paretune devices show rasp") == ["raspberry-pi-5"]
    assert complete("paretune run model.onnx --device local-") == ["local-cpu", "local-gpu"]
    assert complete("paretune run model.onnx --objective speed") == ["speedup"]


@pytest.mark.parametrize("line", ["paretune front ", "paretune show x/", "paretune show "])
def test_of_nothing(tmp_path: Path, line: str) -> None:
    assert ask(line, tmp_path / "home") == []
    assert not (tmp_path / "home" / "paretune.db").exists()


def test_a_database_that_is_none_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "paretune.db").write_text("not a database, but long enough to look at" * 10)
    assert ask("paretune front ", tmp_path / "home") == []


def test_it_imports_little() -> None:
    """A person waits for it."""
    code = (
        "import atexit, os, sys\n"
        "os.environ.update(_PARETUNE_COMPLETE='complete_bash', COMP_WORDS='paretune front ', COMP_CWORD='2')\n"
        "atexit.register(lambda: print(*sorted(sys.modules)))\n"
        "from dashboards.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    modules = done.stdout.split()
    assert not {"torch", "onnx", "onnxruntime", "ray", "scipy", "rich", "matplotlib", "yaml"} & set(modules)
    large = [name for name in modules if name.startswith(("evaluators.", "search.job", "dashboards.documents"))]
    assert large in ([], ["evaluators.metrics"])  # a table, by which the store sorts


def test_scripts_are_printed(tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        env = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        done = paretune("--show-completion", shell, home=tmp_path / "home", **env)
        assert (done.returncode, "_PARETUNE_COMPLETE" in done.stdout) == (0, True)
