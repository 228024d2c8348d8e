"""Bad input at the command line: what is wrong, how to mend it, the exit code, and nothing half-written."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import error_lines, paretune
from onnx import numpy_helper
from small_jobs import classifier, samples, write_job

from dashboards.cli import run_app
from search.store import Store

SOME_BYTES = 40_000

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process, as one of its own would go: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        given = list(map(str, arguments))
        capsys.readouterr()
        code = run_app(given)
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(given, code, captured.out, captured.err)

    return here


def spoil(folder: Path, **arrays: Any) -> None:
    np.savez(folder / "samples.npz", **arrays)


def pickled(folder: Path) -> None:
    np.savez(folder / "samples.npz", x=np.array([{"a": 1}], dtype=object))


def outside(folder: Path) -> None:
    """A model whose weights lie outside its folder."""
    model = classifier()
    tensor = model.graph.initializer[0]
    (folder.parent / "secret.bin").write_bytes(numpy_helper.to_array(tensor).tobytes())
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("fields", "said", "mended"),
    [
        ({"budgets": {"trials": 3}}, "budgets", "budget"),
        ({"strategy": {"name": "nsga3"}}, "nsga3", "nsga2"),
        ({"task": {"name": "digit"}}, "digit", "digits"),
        ({"devices": ["locale-cpu"]}, "locale-cpu", "local-cpu"),
        ({"space": {"precision": {"choice": ["fp32"]}}}, "choice", "choices"),
        ({"constraints": ["accuracy > 0.9"]}, "accuracy > 0.9", "accuracy >= 0.9"),
    ],
)
def test_a_job_file_that_is_wrong_names_the_field(
    tmp_path: Path, run: Run, fields: dict[str, Any], said: str, mended: str
) -> None:
    done = run("run", write_job(tmp_path, **fields))
    message, hint = error_lines(done)
    assert done.returncode == 2
    assert said in message
    assert mended in hint
    assert not (tmp_path / "home" / "paretune.db").exists()


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (lambda folder: (folder / "model.onnx").unlink(), "no model file"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"\x00 not a model"), "model.onnx"),
        (outside, "secret.bin"),
        (lambda folder: (folder / "samples.npz").unlink(), "does not exist"),
        (lambda folder: (folder / "samples.npz").write_bytes(b"PK\x03\x04 damaged"), "cannot be read"),
        (pickled, "pickled"),
        (lambda folder: spoil(folder, y=samples()["x"]), "no array for the model's input 'x'"),
        (lambda folder: spoil(folder, x=np.zeros((50, 3), np.float32)), "shape"),
        (lambda folder: spoil(folder, x=np.full((50, 16), np.nan, np.float32)), "NaN"),
    ],
    ids=[
        "no model",
        "corrupt model",
        "external data",
        "no data",
        "corrupt data",
        "pickled",
        "other name",
        "shape",
        "nan",
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, run: Run, spoilt: Callable[[Path], object], said: str) -> None:
    folder = tmp_path / "job"
    job = write_job(folder)
    spoilt(folder)
    done = run("run", job)
    message, _ = error_lines(done)
    assert done.returncode == 2
    assert said in message


def test_a_database_that_cannot_be_written(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run("db", "upgrade", "--db", f"sqlite:///{tmp_path / 'file' / 'p.db'}")
    error_lines(done)
    assert done.returncode == 4


def test_a_file_that_is_no_database(tmp_path: Path, run: Run) -> None:
    (tmp_path / "p.db").write_text("not a database, but long enough to look at" * 10)
    done = run("jobs", "--db", f"sqlite:///{tmp_path / 'p.db'}")
    error_lines(done)
    assert done.returncode == 4
    assert (tmp_path / "p.db").read_text().startswith("not a database")


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    def nearly_full() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (SOME_BYTES, SOME_BYTES))

    job = write_job(tmp_path)
    Store(f"sqlite:///{tmp_path / 'p.db'}").close()
    done = paretune("run", job, "--db", f"sqlite:///{tmp_path / 'p.db'}", home=tmp_path / "home", before=nearly_full)
    error_lines(done)
    assert done.returncode == 4
    with Store(f"sqlite:///{tmp_path / 'p.db'}") as store:
        jobs = [row.job_id for row in store.jobs.all()]
    for job_id in jobs:  # once there is room again, what was begun goes on
        more = paretune("resume", job_id, "--db", f"sqlite:///{tmp_path / 'p.db'}", home=tmp_path / "home")
        assert more.returncode == 0, more.stderr


@pytest.mark.parametrize(
    "command", [["front", "nothing"], ["show", "nothing"], ["status", "nothing"], ["resume", "nothing"]]
)
def test_what_is_not_there(tmp_path: Path, run: Run, command: list[str]) -> None:
    done = run(*command)
    error_lines(done)
    assert done.returncode == 3


@pytest.mark.parametrize("command", [["fronts"], ["run"], ["jobs", "--format", "xml"], ["run", "absent.yaml"]])
def test_wrong_usage(tmp_path: Path, run: Run, command: list[str]) -> None:
    (tmp_path / "home").mkdir()
    assert run(*command).returncode == 2


def test_more_threads_than_cores(tmp_path: Path, run: Run) -> None:
    job = write_job(tmp_path, devices=[{"name": "local-cpu", "threads": 4096}])
    done = run("run", job)
    message, _ = error_lines(done)
    assert done.returncode == 5
    assert "4096" in message
