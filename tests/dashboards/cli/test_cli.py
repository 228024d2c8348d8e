"""The command line: what it prints, where, and that each command explains itself."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from command_line import document, environment, paretune
from inline_search import measuring_briefly, without_ray
from small_jobs import FinishedJob, write_classifier, write_job

from dashboards.cli import run_app
from dashboards.cli.commands import build_app
from hwprofiles import DEVICES
from hwprofiles.registry import device_origins
from search.store import Store

COMMANDS = {
    "run", "init", "check", "submit", "jobs", "status", "logs", "pause", "resume", "cancel", "clone", "delete", "front",
    "candidates", "show", "export", "profile", "analyse", "up", "serve", "worker", "agent", "mcp", "login", "logout",
    "audit", "gc", "backup", "restore", "schema", "help", "examples", "docs",
    "devices list", "devices show", "devices probe", "devices add", "devices remove", "devices check",
    "devices capability", "devices resources", "devices token", "devices revoke", "devices agents",
    "policies list", "policies show", "policies export", "policies import", "policies remove",
    "users add", "users list", "users disable", "users enable", "users admin",
    "tokens create", "tokens list", "tokens revoke", "projects add", "projects list", "projects members", "db upgrade",
}  # fmt: skip
WITHOUT_FORMAT = {
    "init", "delete", "up", "serve", "worker", "agent", "mcp", "login", "logout", "restore", "schema", "help",
    "examples", "docs", "devices add", "devices remove", "devices token", "devices revoke",
    "policies export", "policies import", "policies remove", "users add",
    "users disable", "users enable", "users admin", "tokens revoke", "projects add", "db upgrade",
}  # fmt: skip
WITH_FORMAT = COMMANDS - WITHOUT_FORMAT


def every_command() -> dict[str, Any]:
    found: dict[str, Any] = {}

    def walk(command: Any, path: str) -> None:
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}".strip())
        if not hasattr(command, "commands"):
            found[path] = command

    walk(typer.main.get_command(build_app()), "")
    return found


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_in(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process on a job's data folder: its exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(job: FinishedJob | None, *arguments: str | Path) -> tuple[int, str, str]:
        if job:
            monkeypatch.setenv("PARETUNE_HOME", str(job.home))
        capsys.readouterr()
        code = run_app(list(map(str, arguments)))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


class TestHelp:
    def test_the_commands_are_these(self) -> None:
        assert set(every_command()) == COMMANDS

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_every_command_explains_itself(self, name: str, run_in: Run) -> None:
        command = every_command()[name]
        code, out, err = run_in(None, *name.split(), "--help")
        assert (code, err) == (0, "")
        assert run_in(None, *name.split(), "-h") == (0, out, "")
        text = " ".join(out.split())
        assert " ".join((command.help or "").split())
        for parameter in command.params:
            assert parameter.help, f"{name}: {parameter.name} is not explained"
            for flag in parameter.opts if parameter.opts[0].startswith("-") else []:
                assert flag in text
        assert ("--format" in text) == (name in WITH_FORMAT)

    def test_the_whole_explains_its_parts(self, run_in: Run) -> None:
        code, out, _ = run_in(None, "--help")
        assert code == 0
        assert all(name.split()[0] in out for name in COMMANDS)
        assert "--debug" in out

    def test_without_a_command_it_shows_the_way(self, run_in: Run) -> None:
        code, out, err = run_in(None)
        assert (code, err) == (2, "")
        assert "Usage" in out


class TestJson:
    """One document on stdout and nothing else there, in a process of its own as scripts run it."""

    def test_run(self, modelled_job: FinishedJob) -> None:
        assert modelled_job.command is not None
        assert document(modelled_job.command) == modelled_job.front
        assert modelled_job.command.stdout.endswith("}\n")

    def test_run_tells_its_progress_on_stderr(self, modelled_job: FinishedJob) -> None:
        assert modelled_job.command is not None
        lines = modelled_job.command.stderr.splitlines()
        assert lines[0].startswith(f"job {modelled_job.job_id} (small)")
        assert any(line.startswith("preparing: ") for line in lines)
        searching = [line for line in lines if line.startswith("searching: ") and "/24" in line]
        assert searching
        assert all("front " in line and "best " in line and " left" in line for line in searching)
        assert "Traceback" not in modelled_job.command.stderr
        assert "Warning" not in modelled_job.command.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ["jobs"], ["status", "JOB"], ["front", "JOB"], ["candidates", "JOB"], ["show", "CANDIDATE"],
            ["resume", "JOB"], ["devices", "list"], ["devices", "show", "local-cpu"],
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_reports(self, modelled_job: FinishedJob, arguments: list[str]) -> None:
        known = {"JOB": modelled_job.job_id, "CANDIDATE": modelled_job.front["front"][0]["candidate_id"]}
        given = [known.get(one, one) for one in arguments]
        found = document(paretune(*given, "--format", "json", home=modelled_job.home))
        if arguments[0] in ("front", "resume"):
            assert found == modelled_job.front
        if arguments[0] == "jobs":
            assert [job["job_id"] for job in found["jobs"]] == [modelled_job.job_id]
            assert found["jobs"][0]["state"] == "done"
        if arguments[0] == "show":
            assert found["decisions"] == modelled_job.front["front"][0]["decisions"]
            assert found["measurements"] == []
        if arguments == ["devices", "list"]:
            assert [one["device"] for one in found["devices"]] == list(device_origins())

    def test_schema(self, home: Path) -> None:
        found = document(paretune("schema", home=home))
        assert found["properties"]["task"]
        assert found["additionalProperties"] is False

    def test_profile(self, home: Path, tmp_path: Path) -> None:
        write_classifier(tmp_path)
        found = document(paretune("profile", "model.onnx", "--batch", "2", "--format", "json", home=home, cwd=tmp_path))
        assert found["model"] == "model.onnx"
        assert found["latency_ms"]["p50"] > 0
        assert found["size_bytes"] == (tmp_path / "model.onnx").stat().st_size


class TestTables:
    def test_front(self, modelled_job: FinishedJob, run_in: Run) -> None:
        code, out, _ = run_in(modelled_job, "front", modelled_job.job_id)
        assert code == 0
        assert modelled_job.job_id in out
        assert "dry run: every figure is made up" in out
        every = run_in(modelled_job, "front", modelled_job.job_id, "--all")[1]
        for member in modelled_job.front["front"]:
            assert member["candidate_id"] in every
            assert (member["candidate_id"] in out) is not (member["unchanged"] or member["like"] is not None)
        assert modelled_job.front["answer"] in out
        assert "baseline" in out

    def test_a_measured_front_says_what_to_export(self, digits_job: FinishedJob, run_in: Run) -> None:
        code, out, _ = run_in(digits_job, "front", "digits-here")
        assert code == 0
        assert "paretune export " in out
        assert "made up" not in out

    def test_status_jobs_and_show(self, modelled_job: FinishedJob, run_in: Run) -> None:
        _, out, _ = run_in(modelled_job, "status", modelled_job.job_id)
        assert "done" in out
        assert "layers decided, 0 left alone" in out
        assert modelled_job.job_id in run_in(modelled_job, "jobs")[1]
        member = modelled_job.front["front"][0]
        code, out, _ = run_in(modelled_job, "show", member["candidate_id"])
        assert code == 0
        assert all(name in out and value in out for name, value in member["decisions"].items())

    def test_no_jobs_yet(self, run_in: Run) -> None:
        code, out, _ = run_in(None, "jobs")
        assert (code, "paretune run" in out) == (0, True)

    def test_devices(self, run_in: Run) -> None:
        code, out, _ = run_in(None, "devices", "list")
        assert code == 0
        assert all(name in out for name in DEVICES)
        assert "modelled" in run_in(None, "devices", "show", "dry-run")[1]

    def test_profile(self, tmp_path: Path, run_in: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        measuring_briefly(monkeypatch)
        write_job(tmp_path)
        model = tmp_path / "model.onnx"
        code, out, _ = run_in(None, "profile", model, "--against", model)
        assert code == 0
        assert "p50" in out
        assert "MatMul" in out
        assert "as fast as" in out


class TestCsv:
    def test_a_row_a_member(self, modelled_job: FinishedJob, run_in: Run) -> None:
        code, out, _ = run_in(modelled_job, "front", modelled_job.job_id, "--format", "csv")
        assert code == 0
        rows = list(csv.DictReader(io.StringIO(out)))
        members = modelled_job.front["front"]
        assert [row["candidate_id"] for row in rows] == [member["candidate_id"] for member in members]
        for row, member in zip(rows, members, strict=True):
            assert int(row["trial"]) == member["trial"]
            assert float(row["speedup"]) == member["metrics"]["speedup"]["ratio"]
            assert float(row["latency_ms"]) == member["metrics"]["latency_ms"]["p50"]
            assert {name: row[name] for name in member["decisions"]} == member["decisions"]
            assert None not in row.values()

    def test_an_empty_front_is_a_heading(self, tmp_path: Path, run_in: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        without_ray(monkeypatch, prepare_here=True)
        job = write_job(tmp_path, constraints=["speedup >= 100"])
        code, out, _ = run_in(None, "run", job, "--format", "json")
        found = json.loads(out)
        assert (code, found["front"]) == (0, [])
        assert found["nearest_miss"]["reason"] == "breaks speedup >= 100"
        code, out, _ = run_in(None, "front", found["job_id"], "--format", "csv")
        assert (code, out) == (0, "candidate_id,trial,state\n")
        assert found["nearest_miss"]["candidate_id"] in run_in(None, "front", found["job_id"])[1]


class TestNaming:
    def test_prefixes_and_names(self, modelled_job: FinishedJob, run_in: Run) -> None:
        for name in (modelled_job.job_id, modelled_job.job_id[:6], modelled_job.job_id[:6].upper(), "small"):
            code, out, _ = run_in(modelled_job, "status", name, "--format", "json")
            assert (code, json.loads(out)["job_id"]) == (0, modelled_job.job_id)
        candidate = modelled_job.front["front"][0]["candidate_id"]
        code, out, _ = run_in(modelled_job, "show", candidate[:10], "--format", "json")
        assert (code, json.loads(out)["candidate_id"]) == (0, candidate)

    def test_an_ambiguous_prefix_is_refused(self, modelled_job: FinishedJob, run_in: Run) -> None:
        with Store(modelled_job.database) as store:
            ids = sorted(row.candidate_id for row in store.trials.of_job(modelled_job.job_id))
        pairs = itertools.pairwise(ids)
        prefix = next(one[0] for one, other in pairs if one[0] == other[0] != modelled_job.job_id[0])
        code, out, err = run_in(modelled_job, "show", prefix)
        assert (code, out) == (3, "")
        assert "is ambiguous" in err

    def test_one_device_of_a_job(self, modelled_job: FinishedJob, run_in: Run) -> None:
        assert run_in(modelled_job, "front", "small", "--device", "dry-run")[0] == 0
        code, _, err = run_in(modelled_job, "front", "small", "--device", "local-cpu")
        assert (code, "'dry-run'" in err) == (3, True)


class TestFlags:
    @pytest.fixture(autouse=True)
    def _no_ray(self, monkeypatch: pytest.MonkeyPatch) -> None:
        without_ray(monkeypatch, prepare_here=True)

    def test_they_override_the_file_and_are_stored(self, tmp_path: Path, run_in: Run) -> None:
        job = write_job(tmp_path, devices=[{"name": "local-cpu", "batch": 4}], budget={"trials": 900, "batch": 5})
        flags = ["--trials", "7", "--minutes", "2.5", "--seed", "11", "--device", "dry-run"]
        code, out, _ = run_in(None, "run", job, *flags, "--format", "json")
        assert code == 0
        found = json.loads(out)
        assert found["device"] == "dry-run"
        assert found["trials"]["done"] == 7
        with Store(f"sqlite:///{tmp_path / 'home' / 'paretune.db'}") as store:
            stored = store.jobs.get(found["job_id"]).spec
        assert stored["budget"] | {"trials": 7, "minutes": 2.5, "batch": 5} == stored["budget"]
        assert stored["seed"] == 11
        assert stored["devices"] == [{"name": "dry-run", "threads": 1, "batch": 4}]
        assert yaml.safe_load(job.read_text())["budget"]["trials"] == 900

    def test_the_database_may_lie_anywhere(self, tmp_path: Path, run_in: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        job = write_job(tmp_path)
        elsewhere = f"sqlite:///{tmp_path / 'deep' / 'jobs.db'}"
        assert run_in(None, "db", "upgrade", "--db", elsewhere)[0] == 0
        assert run_in(None, "run", job, "--db", elsewhere)[0] == 0
        assert len(json.loads(run_in(None, "jobs", "--db", elsewhere, "--format", "json")[1])["jobs"]) == 1
        assert json.loads(run_in(None, "jobs", "--format", "json")[1]) == {"jobs": []}
        monkeypatch.setenv("PARETUNE_DB", elsewhere)
        assert len(json.loads(run_in(None, "jobs", "--format", "json")[1])["jobs"]) == 1

    def test_pictures_of_the_front(self, modelled_job: FinishedJob, tmp_path: Path, run_in: Run) -> None:
        files = tmp_path / "front.html", tmp_path / "front.png"
        arguments = ["front", "small", "--html", files[0], "--png", files[1], "--format", "json"]
        code, out, err = run_in(modelled_job, *arguments)
        assert code == 0
        assert json.loads(out) == modelled_job.front
        assert modelled_job.front["front"][0]["candidate_id"] in files[0].read_text()
        assert files[1].read_bytes().startswith(b"\x89PNG")
        assert all(str(file) in err for file in files)


@pytest.fixture
def closed_pipe() -> Iterator[int]:
    """Where to write to for a reader who has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def test_a_reader_who_has_gone_is_no_error(modelled_job: FinishedJob, closed_pipe: int) -> None:
    """As in ``paretune front JOB --format json | head``."""
    finished = subprocess.run(
        [sys.executable, "-m", "dashboards.main", "front", "small", "--format", "json"],
        env=environment(modelled_job.home), cwd=modelled_job.folder, stdout=closed_pipe, stderr=subprocess.PIPE,
        check=False,
    )  # fmt: skip
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_output_that_cannot_be_written_is_an_error(modelled_job: FinishedJob) -> None:
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "dashboards.main", "jobs", "--format", "json"],
            env=environment(modelled_job.home), cwd=modelled_job.folder, stdout=full, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
    assert finished.returncode == 4
    error, hint = finished.stderr.splitlines()
    assert "No space left on device" in error
    assert hint.startswith("  hint: ")


class TestDebug:
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_it_adds_the_traceback_and_changes_nothing_else(self, run_in: Run, place: int) -> None:
        arguments = ["status", "nothing"]
        plain = run_in(None, *arguments)
        arguments.insert(place, "--debug")
        code, out, err = run_in(None, *arguments)
        assert (code, out) == plain[:2] == (3, "")
        assert err.startswith("Traceback")
        assert err.endswith(plain[2])
        assert "Traceback" not in plain[2]

    def test_the_unforeseen_is_two_lines_without_it(self, run_in: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("nobody thought of this")

        monkeypatch.setattr("dashboards.cli.service.json_schema", fail)
        code, out, err = run_in(None, "schema")
        assert (code, out) == (4, "")
        assert err.splitlines() == [
            "error: unexpected RuntimeError: nobody thought of this",
            "  hint: run it again with --debug and report what it prints",
        ]
        assert "Traceback" in run_in(None, "schema", "--debug")[2]


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "said", "mended"),
        [
            (["front"], "missing argument", "write: paretune front [OPTIONS] JOB; all options: paretune front --help"),
            (["frobnicate"], "no such command 'frobnicate'", "did you mean 'front'?"),
            (["run", "job.yaml", "--trials", "many"], "--trials", "write: --trials 10"),
            (["profile", "model.onnx", "--threads", "0"], "--threads", "write: --threads 1"),
            (["--wit"], "no such option", "all options: paretune --help"),
        ],
    )
    def test_two_lines_say_what_is_wrong(self, run_in: Run, arguments: list[str], said: str, mended: str) -> None:
        code, out, err = run_in(None, *arguments)
        assert (code, out) == (2, "")
        error, hint = err.splitlines()
        assert error.startswith("error: ")
        assert said in error
        assert hint == f"  hint: {mended}"

    def test_more_threads_than_cores(self, tmp_path: Path, run_in: Run) -> None:
        write_job(tmp_path)
        code, _, err = run_in(None, "profile", tmp_path / "model.onnx", "--threads", "4096")
        assert (code, "4096 threads" in err) == (5, True)

    def test_the_modelled_device_measures_nothing(self, tmp_path: Path, run_in: Run) -> None:
        write_job(tmp_path)
        code, _, err = run_in(None, "profile", tmp_path / "model.onnx", "--device", "dry-run")
        assert (code, "so it cannot be measured" in err) == (5, True)

    def test_an_unknown_device(self, run_in: Run) -> None:
        code, _, err = run_in(None, "devices", "show", "phone")
        assert (code, "'phone'" in err, "local-cpu" in err) == (3, True, True)


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
sys.argv = ["paretune", *{arguments!r}]
from dashboards.main import main
main()
"""


class TestBaseInstall:
    """Where packages are missing, what to install is said in two lines."""

    def run_without(self, blocked: set[str], *arguments: str, home: Path) -> tuple[int, list[str]]:
        program = BLOCKED.format(blocked=blocked, arguments=[*map(str, arguments)])
        finished = subprocess.run(
            [sys.executable, "-c", program], env=environment(home), cwd=home.parent, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert finished.stdout == ""
        return finished.returncode, finished.stderr.splitlines()

    @pytest.mark.parametrize("package", ["typer", "rich", "pydantic", "yaml"])
    def test_without_the_full_install(self, home: Path, package: str) -> None:
        code, (error, hint) = self.run_without({package}, "check", "digits", home=home)
        assert (code, error) == (2, f"error: this command needs the package {package!r}")
        assert hint.endswith("pip install 'paretune[full]'")

    def test_without_a_database_a_server_is_asked(self, home: Path) -> None:
        code, (error, hint) = self.run_without({"sqlalchemy"}, "jobs", home=home)
        assert (code, error) == (2, "error: this command needs a server, or the package 'sqlalchemy'")
        assert hint.startswith("  hint: name a server with --server URL, or: ")

    def test_without_what_one_command_needs(self, home: Path, tmp_path: Path) -> None:
        """Ray is looked for only when a search begins; the job is there to be resumed."""
        job = write_job(tmp_path)
        code, lines = self.run_without({"ray"}, "run", str(job), home=home)
        assert (code, lines[-2]) == (2, "error: this command needs the package 'ray'")
        assert lines[-1].endswith("pip install 'paretune[full]'")
        (found,) = document(paretune("jobs", "--format", "json", home=home))["jobs"]
        assert found["state"] == "failed"
