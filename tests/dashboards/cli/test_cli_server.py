"""Commands that ask a server: the same documents and tables, and nothing large imported for them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from capability_record import capability_of
from command_line import document, environment, paretune, started, wait_until
from small_jobs import write_classifier, write_job

from dashboards.cli import run_app
from dashboards.documents.capability import document_of
from dashboards.server import background
from dashboards.service.bundles import export_there
from dashboards.service.local import LocalService
from hwprofiles import digest_of_file, find_device
from search.artefacts.store import ArtefactStore
from search.states import ExportState, JobState
from search.store import Store, this_process

LARGE = ("torch", "ray", "sqlalchemy", "alembic", "onnx", "onnxruntime", "openvino", "optuna", "scipy",
         "sklearn", "fastapi", "starlette", "uvicorn", "jinja2", "matplotlib")  # fmt: skip
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(store: Store) -> Iterator[str]:
    with background(store) as address:
        yield address


@pytest.fixture
def run(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command against the server: its exit code, stdout and stderr."""
    monkeypatch.setenv("PARETUNE_SERVER", server)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = run_app([*map(str, arguments)])
        return code, *capsys.readouterr()

    return call


def as_json(answer: tuple[int, str, str]) -> Any:
    code, out, err = answer
    assert code == 0, err
    return json.loads(out)


COMMANDS = (
    ("jobs",), ("status", "JOB"), ("front", "JOB"), ("candidates", "JOB"), ("candidates", "JOB", "--state", "failed"),
    ("show", "CANDIDATE"), ("logs", "JOB"), ("devices", "list"), ("devices", "show", "dry-run"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("format", ["table", "json"])
def test_a_server_s_answer_is_that_of_its_database(
    run: Run, store: Store, search: Any, command: tuple[str, ...], format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search.store.logs.add(search.lease, "searching")
    names = {"JOB": search.job_id, "CANDIDATE": search.ids[4]}
    line = [names.get(word, word) for word in command] + ["--format", format]
    remote = run(*line)
    monkeypatch.delenv("PARETUNE_SERVER")
    assert remote == run(*line, "--db", store.url)
    assert remote[0] == 0


def test_what_a_device_answered_at_a_server(run: Run, server: str, store: Store) -> None:
    line = ["devices", "capability", "local-cpu", "--server", server]
    code, _, err = run(*line)
    assert (code, "was not probed yet" in err) == (3, True)
    profile = find_device("local-cpu")
    store.devices.set_capability(profile, capability_of(profile).to_dict())
    assert as_json(run(*line, "--format", "json")) == document_of(profile, capability_of(profile))
    assert "conv3x3" in run(*line)[1]
    code, _, err = run(*line, "--refresh")
    assert (code, "asks nothing" in err) == (2, True)


def test_errors_are_those_of_the_database(run: Run, search: Any) -> None:
    for line, code in (
        (["status", "ffff"], 3), (["front", search.job_id, "--device", "phone"], 3), (["show", "ffff"], 3),
        (["delete", search.job_id, "--yes"], 2), (["submit", "nothing.onnx"], 2), (["jobs", "--state", "dun"], 2),
    ):  # fmt: skip
        got, out, err = run(*line)
        assert (got, out) == (code, ""), line
        assert len(err.splitlines()) >= 2


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("dashboards.service.connection.TRIES", 2)
    assert run_app(["jobs", "--server", "http://127.0.0.1:1"]) == 4
    assert "http://127.0.0.1:1 does not answer" in capsys.readouterr().err
    assert run_app(["jobs", "--server", "http://127.0.0.1:1", "--db", "sqlite:///x.db"]) == 2


class TestSubmitting:
    def test_a_model_and_its_data(self, run: Run, store: Store, tmp_path: Path) -> None:
        write_classifier(tmp_path)
        store.projects.add("vision")
        job = as_json(
            run("submit", tmp_path / "model.onnx", "--data", tmp_path / "samples.npz", "--device", "dry-run",
                "--trials", "3", "--priority", "5", "--project", "vision", "--key", "k", "--format", "json")
        )  # fmt: skip
        row = store.jobs.get(job["job_id"])
        assert (row.name, row.priority, row.project, row.spec["budget"]["trials"]) == ("model", 5, "vision", 3)
        assert row.files == {name: digest_of_file(tmp_path / name) for name in ("model.onnx", "samples.npz")}
        code, _, err = run("submit", tmp_path / "model.onnx", "--data", tmp_path / "samples.npz", "--device", "dry-run",
                           "--trials", "3", "--priority", "5", "--project", "vision", "--key", "k")  # fmt: skip
        assert (code, job["job_id"] in err) == (0, True)
        assert len(store.jobs.ids()) == 1

    def test_a_job_file(self, run: Run, store: Store, tmp_path: Path) -> None:
        path = write_job(tmp_path, name="one.yaml", devices=["dry-run"])
        job = as_json(run("submit", path, "--seed", "9", "--format", "json"))
        row = store.jobs.get(job["job_id"])
        assert (row.name, row.spec["seed"]) == ("small", 9)
        assert set(row.files or {}) == {"model.onnx", "samples.npz"}

    def test_in_an_order(self, run: Run, store: Store) -> None:
        first = as_json(run("submit", "digits", "--device", "dry-run", "--format", "json"))["job_id"]
        code, _, err = run("submit", "digits", "--device", "dry-run", "--after", "digits")
        assert (code, f"after job {first} (digits), which is queued" in err) == (0, True)
        second = next(job_id for job_id in store.jobs.ids() if job_id != first)
        assert re.search(rf"after job {first} +queued", run("status", second)[1])
        taken = store.queue.take(this_process())
        assert taken is not None
        assert taken[0].job_id == first
        assert store.queue.take(this_process()) is None

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [("minutes", ".inf", "budget.minutes: inf is no finite number"),
         ("batch", "2026-01-31", "budget.batch: 2026-01-31 is neither text, a number nor a list of them")],
    )  # fmt: skip
    def test_what_json_does_not_have(
        self, run: Run, store: Store, tmp_path: Path, field: str, value: str, message: str
    ) -> None:
        path = tmp_path / "one.yaml"
        path.write_text(f"task: {{name: digits}}\ndevices: [dry-run]\nbudget: {{{field}: {value}}}\n")
        code, _, err = run("submit", path)
        assert (code, message in err, "hint: " in err) == (2, True, True), err
        assert store.jobs.ids() == []

    def test_code_stays_here(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "my_task.py").write_text("def make_task(): ...")
        for target in (tmp_path / "my_task.py", f"{tmp_path / 'my_task.py'}:make_task"):
            code, _, err = run("submit", target)
            assert code == 2
            assert "a server runs no code of its users" in err


class TestChanging:
    def test_pausing_resuming_cloning_cancelling_deleting(self, run: Run, store: Store) -> None:
        job = as_json(run("submit", "digits", "--device", "dry-run", "--format", "json"))["job_id"]
        for line, state in (
            (("pause", job), "paused"), (("resume", job), "queued"), (("cancel", job), "cancelled"),
        ):  # fmt: skip
            code, out, err = run(*line)
            assert (code, out) == (0, "")
            assert f"is {state}" in err
            assert store.jobs.get(job).state is JobState(state)
        assert run("clone", job, "--trials", "7")[0] == 0
        assert run("delete", job, "--yes")[0] == 0
        (left,) = store.jobs.ids()
        assert store.jobs.get(left).spec["budget"]["trials"] == 7

    def test_a_running_job_is_asked(self, run: Run, search: Any) -> None:
        _, _, err = run("cancel", search.job_id)
        assert f"asked to cancel, see: paretune status {search.job_id}" in err


class TestWaiting:
    def test_until_it_is_done(self, run: Run, store: Store, search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dashboards.cli.following.LOOK_S", 0.05)
        monkeypatch.setattr(
            "dashboards.service.outgoing.Submitted.send",
            lambda self, service, key: service.job(search.job_id) | {"plan": []},
        )
        threading.Timer(0.5, lambda: search.end()).start()
        code, out, err = run("submit", "digits", "--wait")
        assert code == 0
        assert "best compromise" in out
        assert "running: 13/60 front 3" in err

    def test_a_failure_is_an_error(self, run: Run, search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "dashboards.service.outgoing.Submitted.send",
            lambda self, service, key: service.job(search.job_id) | {"plan": []},
        )
        search.store.jobs.set_state(search.lease, JobState.FAILED, error="the disk is full", hint="free some space")
        code, out, err = run("submit", "digits", "--wait")
        assert (code, out) == (4, "")
        assert err.splitlines()[-2:] == [f"error: job {search.job_id} failed: the disk is full",
                                         "  hint: free some space"]  # fmt: skip

    def test_filters_that_match_nothing_say_so(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "no jobs yet" in run("jobs", "--device", "dry-rum")[1]
        run("submit", "digits", "--device", "dry-run")
        code, out, _ = run("jobs", "--device", "dry-rum", "--state", "queued")
        assert (code, out) == (
            0, "no job matches --state queued --device dry-rum; --device: did you mean 'dry-run'?\n"
        )  # fmt: skip
        assert run("jobs", "--state", "done")[1] == "no job matches --state done\n"
        monkeypatch.setenv("COLUMNS", "80")
        assert re.search(r"\w{8}, why it waits: no worker runs", run("jobs")[1])

    def test_a_log_is_followed_to_its_end(self, run: Run, search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dashboards.cli.logs.LOOK_S", 0.05)
        search.store.logs.add(search.lease, "first")

        def go_on() -> None:
            time.sleep(0.3)
            search.store.logs.add(search.lease, "second")
            search.end()

        threading.Thread(target=go_on).start()
        code, out, _ = run("logs", search.job_id, "--follow")
        assert code == 0
        assert [line.split(" ", 2)[2] for line in out.splitlines()] == ["first", "second"]


def test_why_a_queued_job_waits(run: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = run("submit", "digits", "--device", "dry-run", "--trials", "2")
    assert code == 0, err
    (job_id,) = [row.job_id for row in store.jobs.all() if row.state is JobState.QUEUED]
    monkeypatch.setattr("dashboards.cli.console.out.width", 160)
    for command in (["status", job_id], ["jobs"]):
        assert "no worker runs; start one with: paretune worker" in run(*command)[1]
    assert as_json(run("jobs", "--format", "json"))["jobs"][0]["waiting"].startswith("no worker runs")


def test_an_export_is_cancelled_by_its_id_or_by_an_interrupt(
    run: Run, store: Store, search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [store.export_requests.add(search.ids[4], {}, "local") for _ in range(2)]
    assert run("cancel", asked[0]) == (0, "", f"export {asked[0]} is cancelled\n")
    code, out, _ = run("cancel", asked[1], "--format", "json")
    assert (code, json.loads(out)["state"]) == (0, "cancelled")
    code, _, err = run("cancel", "f" * 12)
    assert (code, "there is no job" in err) == (3, True)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dashboards.service.bundles.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_there(LocalService(store), search.ids[4], tmp_path / "out", {"device": "local-cpu"}, lambda text: None)
    states = [row.state for row in store.export_requests.of_job(search.job_id)]
    assert states == [ExportState.CANCELLED] * 3
    assert not (tmp_path / "out").exists()


def test_an_export_is_fetched_and_checked(
    run: Run, store: Store, search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboards.service.bundles.LOOK_S", 0.05)

    def work(content: bytes) -> None:
        """A worker that has made a bundle."""
        wait_until(store.export_requests.is_open, "an export")
        taken = store.export_requests.take(this_process())
        assert taken is not None
        path = tmp_path / "made.zip"
        (tmp_path / "model.onnx").write_bytes(b"a model")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("manifest.json", "{}")
            archive.writestr("receipt.json", "{}")
            archive.writestr("model.onnx", content)
        store.export_requests.finish(taken[1], ArtefactStore().put(path).sha256, receipt)

    receipt = {
        "verdict": "confirmed", "device": "dry-run", "size_bytes": 7, "latency": None, "latency_missing": "a test",
        "health": None, "quality": {"test": {}}, "measurement": None, "reasons": [], "findings": [],
    }  # fmt: skip
    (tmp_path / "model.onnx").write_bytes(b"a model")
    receipt["model_sha256"] = digest_of_file(tmp_path / "model.onnx")
    for content, code in ((b"a model", 0), (b"another one", 4)):
        folder = tmp_path / f"out-{code}"
        worker = threading.Thread(target=work, args=(content,))
        worker.start()
        got, out, err = run("export", search.ids[4], "-o", folder, "--device", "local-cpu")
        worker.join()
        assert got == code, err
        assert folder.exists() == (code == 0)
        if code == 0:
            assert out.startswith(f"confirmed: {folder / 'model.onnx'}")
            assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.onnx", "receipt.json"]
        else:
            assert "not the one that the receipt is about" in err


def test_nothing_large_is_imported_for_a_server(server: str, search: Any, tmp_path: Path) -> None:
    """As on a laptop with ``pip install 'paretune[client]'`` alone."""
    write_classifier(tmp_path)
    lines = [
        ["jobs"], ["status", search.job_id], ["front", search.job_id], ["candidates", search.job_id],
        ["show", search.ids[4]], ["logs", search.job_id], ["devices", "list"], ["devices", "show", "dry-run"],
        ["submit", "model.onnx", "--data", "samples.npz", "--device", "dry-run"], ["cancel", "model"],
        ["delete", "model", "--yes"], ["--help"], ["run", "--help"],
    ]  # fmt: skip
    program = f"""
import json, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LARGE!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from dashboards.cli import run_app
codes = [run_app(line) for line in json.loads(sys.argv[1])]
import paretune
with paretune.Client() as client:
    codes.append(len(client.job({search.job_id!r}).front()) - 3)
print(*codes, file=sys.stderr)
"""
    finished = subprocess.run(
        [sys.executable, "-c", program, json.dumps(lines)], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=environment(tmp_path / "laptop", PARETUNE_SERVER=server),
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.splitlines()[-1].split() == ["0"] * (len(lines) + 1), finished.stderr
    assert "(needs more packages)" in finished.stdout


def test_ctrl_c_leaves_a_job_and_says_how_to_follow_it(server: str, store: Store, tmp_path: Path) -> None:
    with started("submit", "digits", "--device", "dry-run", "--wait", "--server", server, home=tmp_path / "laptop",
                 log=tmp_path / "log") as process:  # fmt: skip
        wait_until(lambda: "queued" in (tmp_path / "log").read_text(), "a line of progress")
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
    (job,) = store.jobs.ids()
    assert f"job {job} goes on; follow it with: paretune logs {job} --follow" in (tmp_path / "log").read_text()
    assert store.jobs.get(job).state is JobState.QUEUED


def test_a_database_and_its_workers(tmp_path: Path) -> None:
    """Without a server a job is queued in the database, which any worker takes."""
    home = tmp_path / "home"
    job = document(paretune("submit", "digits", "--device", "dry-run", "--format", "json", home=home))
    assert job["detached"]
    done = paretune("resume", job["job_id"], home=home)
    assert (done.returncode, "is queued" in done.stderr) == (0, True)
