"""A run without a job file: a model or a task and options, and what is said of every mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import error_lines, paretune
from small_jobs import classifier, write_job

from dashboards.cli import run_app
from search.job.job_options import DEFAULT_MINUTES, JobOptions, parse_objective
from search.job.target import read_target
from search.store import Store

TASK = """
from search.tasks import TorchTask

def helper():
    return 1

def make_task(width: int = 8) -> TorchTask:
    raise RuntimeError("not run here")
"""

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_app(list(arguments))
        return code, *capsys.readouterr()

    return call


class TestTheJob:
    def test_of_a_model(self) -> None:
        target = read_target("model.onnx", JobOptions(Path("samples.npz")))
        job = target.job
        assert (job.name, job.task.name, job.task.options) == (
            "model",
            "onnx",
            {"model": "model.onnx", "data": "samples.npz"},
        )
        assert (job.budget.minutes, job.labels, target.has_random_inputs) == (DEFAULT_MINUTES, ("local-cpu",), False)

    def test_of_a_model_with_every_option(self) -> None:
        options = JobOptions(
            Path("samples.npz"), ["dry-run"], ["speedup", "accuracy:max", "size_bytes"], ["accuracy >= 0.5"],
            ["precision,graph", "runtime"], 3.0, 7, 5, "mine",
        )  # fmt: skip
        job = read_target("model.onnx", options).job
        assert job.labels == ("dry-run",)
        assert [(o.metric, o.direction) for o in job.objectives] == [
            ("speedup", "max"), ("accuracy", "max"), ("size_bytes", "min"),
        ]  # fmt: skip
        assert job.constraints == ("accuracy >= 0.5",)
        assert list(job.space or ()) == ["precision", "graph", "runtime"]
        assert (job.budget.minutes, job.budget.trials, job.seed, job.name) == (3.0, 7, 5, "mine")

    def test_has_no_time_limit_if_the_candidates_are_limited(self) -> None:
        assert read_target("model.onnx", JobOptions(trials=5)).job.budget.minutes is None

    @pytest.mark.parametrize(
        ("text", "task"),
        [("my_task.py:helper", "my_task.py:helper"), ("my_task.py", "my_task.py:make_task"), ("digits", "digits")],
    )
    def test_of_a_task(self, folder: Path, text: str, task: str) -> None:
        (folder / "my_task.py").write_text(TASK)
        target = read_target(text)
        assert target.job.task.name == task
        assert target.job.name == text.partition(".py")[0]

    def test_of_a_file_keeps_what_no_option_replaces(self, folder: Path) -> None:
        path = write_job(folder, "mine.yaml", space={"precision": {"choices": ["fp32", "int8"]}})
        job = read_target(str(path), JobOptions(space=["precision"], seed=3, objectives=["speedup"])).job
        assert job.space == {"precision": {"choices": ["fp32", "int8"]}}
        assert (job.name, job.seed, job.budget.trials, job.budget.minutes) == ("small", 3, 16, None)

    def test_of_a_file_without_a_name_is_named_like_it(self, folder: Path) -> None:
        (folder / "mine.yaml").write_text("task: {name: digits}")
        assert read_target("mine.yaml").job.name == "mine"

    def test_of_a_file_elsewhere_finds_data_from_here(self, folder: Path, tmp_path: Path) -> None:
        path = write_job(tmp_path / "elsewhere")
        job = read_target(str(path), JobOptions(Path("samples.npz"))).job
        assert job.task.options["data"] == str(folder / "samples.npz")


@pytest.mark.parametrize(
    ("text", "direction"),
    [("speedup", "max"), ("latency_ms.p90", "min"), ("fnr:3", "min"), ("mine", "max"), ("mine:min", "min")],
)
def test_an_objective_knows_its_direction(text: str, direction: str) -> None:
    assert parse_objective(text) == {"metric": text.removesuffix(":min"), "direction": direction}


MISTAKES = [
    (["net.pt"], "net.pt holds a PyTorch model", "torch.onnx.export"),
    (["samples.npz"], "samples.npz holds samples", "--data"),
    (["net.tflite"], "TensorFlow model", "convert"),
    (["modell.onnx"], "modell.onnx does not exist", "did you mean 'model.onnx'?"),
    (["job.yml"], "job file job.yml does not exist", "give a model"),
    (["picture.png"], "picture.png is neither", ".onnx"),
    (["."], ". is a folder", ".onnx"),
    (["nothing"], "nothing does not exist", "give a model"),
    (["my_task.py:make_tusk"], "no function 'make_tusk'", "make_task"),
    (["two.py"], "two.py has no function make_task; its functions: one, other", "two.py:FUNCTION"),
    (["broken.py"], "broken.py is not Python (line 1)", "correct"),
    (["your_task.py"], "your_task.py does not exist", "my_task.py"),
    (["your_task.py:f"], "your_task.py does not exist", "my_task.py"),
    (["my_task.py", "--data", "samples.npz"], "--data: my_task.py brings its own data", "leave --data out"),
    (["model.onnx", "--data", "sample.npz"], "sample.npz does not exist", "did you mean 'samples.npz'"),
    (["model.onnx", "--data", "other.npz"], "no array for the model's input 'x'", "['y']"),
    (["model.onnx", "--data", "shape.npz"], "has shape 80×3, the model takes ?×16", "one sample per row"),
    (["model.onnx", "--data", "type.npz"], "is complex128, the model takes float32", "astype"),
    (["model.onnx", "--device", "locale-cpu"], "--device: unknown device 'locale-cpu'", "local-cpu"),
    (
        ["model.onnx", "--objective", "acuracy"],
        "--objective: the task has no metric 'acuracy'",
        "did you mean 'accuracy'",
    ),
    (["model.onnx", "--objective", "accuracy"], "--objective: the task has no metric 'accuracy'", "labels"),
    (["model.onnx", "--objective", "speedup:maxx"], "--objective: unknown direction 'maxx'", "'max'"),
    (["model.onnx", "--constraint", "cosine > 1"], "--constraint: constraint 'cosine > 1'", ">="),
    (["model.onnx", "--constraint", "cosin >= 1"], "--constraint: the task has no metric 'cosin'", "cosine"),
    (["model.onnx", "--space", "precison"], "--space: unknown technique 'precison'", "precision"),
    (["model.onnx", "--space", "quantization"], "--space: unknown technique 'quantization'", "precision"),
    (["model.onnx", "--minutes", "0"], "--minutes: must be greater than 0", "write: --minutes 1"),
    (["model.onnx", "--trials", "0"], "--trials: must be at least 1", "write: --trials 60"),
    (["model.onnx", "--seed", "-1"], "--seed: must be at least 0", "write: --seed 0"),
    (["text.onnx"], "input 'words' takes text, which cannot be drawn at random", "--data"),
    (["rigid.onnx"], "rigid.onnx refuses random inputs of the shapes x 64", "--data"),
]


@pytest.fixture
def wrong_files(folder: Path) -> None:
    for name in ("net.pt", "net.tflite", "picture.png"):
        (folder / name).write_bytes(b"\x89\xff\x00")
    (folder / "my_task.py").write_text(TASK)
    (folder / "two.py").write_text("def one(): pass\ndef other(): pass\n")
    (folder / "broken.py").write_text("def (")
    np.savez(folder / "other.npz", y=np.zeros((50, 16), np.float32))
    np.savez(folder / "shape.npz", x=np.zeros((80, 3), np.float32))
    np.savez(folder / "type.npz", x=np.zeros((80, 16), np.complex128))
    model = classifier()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"
    onnx.save(model, folder / "rigid.onnx")
    kinds = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.STRING, ["n"]) for n in ("words", "out")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["words"], ["out"])], "g", kinds[:1], kinds[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), folder / "text.onnx")


@pytest.mark.usefixtures("wrong_files")
@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("arguments", "said", "mended"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_named_with_its_mend(
    run: Run, home: Path, command: str, arguments: list[str], said: str, mended: str
) -> None:
    code, out, err = run(command, *arguments)
    message, hint = err.rstrip("\n").split("\n")[-2:]
    assert (code, out) == (2, "")
    assert said in message
    assert mended in hint
    assert not home.exists() or not any(home.rglob("*.db"))


def test_a_model_without_data_runs_on_random_inputs(folder: Path, home: Path) -> None:
    done = paretune(
        "run", "model.onnx", "--device", "raspberry-pi-5", "--trials", "3", "--format", "json", home=home, cwd=folder
    )
    front = json.loads(done.stdout)
    assert done.returncode == 0
    assert front["name"] == "model"
    assert "no --data: inputs are random" in done.stderr
    assert "up to 3 candidates (--trials)" in done.stderr
    assert any(note.startswith("no data was given, so inputs are random") for note in front["notes"])
    assert {"cosine", "top1_agreement"} <= set(front["baseline"]["metrics"])
    assert "accuracy" not in front["baseline"]["metrics"]
    assert not front["baseline"]["facts"]["shared_split"]
    with Store(f"sqlite:///{home / 'paretune.db'}") as store:
        assert store.jobs.all()[0].spec["budget"]["minutes"] is None


def test_a_task_that_has_no_file_says_so_in_a_process_of_its_own(home: Path, folder: Path) -> None:
    message, _ = error_lines(paretune("run", "absent.py", home=home, cwd=folder))
    assert message == "task file absent.py does not exist"
