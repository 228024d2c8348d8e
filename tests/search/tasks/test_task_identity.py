"""What names a model and its data: nothing that changes either may leave the name as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from command_line import environment
from contexts import context_of
from onnx.external_data_helper import convert_model_to_external_data
from small_jobs import classifier, samples, spec

from evaluators.processes.sandbox import Sandbox
from hwprofiles.errors import InvalidInput
from search.job.spec import Job, parse_job
from search.tasks import open_task
from search.tasks.arrays import arrays_digest
from search.trials import sandboxed
from search.trials.context import JobContext
from search.trials.workspace import Workspace

TASK = """
import numpy as np, torch
from search.tasks import TorchTask
{imports}
class Net(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.inner, self.scale = torch.nn.Linear(6, 3), scale
    def forward(self, x):
        return {forward}

def make_task(scale: float = 1.0, seed: int = 0, labels: int = 0):
    torch.manual_seed(seed)
    rows = np.random.default_rng(0).standard_normal((8, 6)).astype(np.float32)
    splits = ("calibration", "validation", "test")
    given = {{split: (np.arange(8) + labels) % 3 for split in splits}}
    return TorchTask(Net(scale), {{split: {{"x": rows}} for split in splits}}, labels=given, evaluate=metric)

def metric(predict, split):
    return {{"mean": {metric}}}
"""
PLAIN = {"imports": "", "forward": "self.inner(x) * self.scale", "metric": "1.0"}
NAME = "./my_task.py:make_task"


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a user's files add to the module path and to the loaded modules ends with the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    forget(tmp_path)
    sandboxed.workspace_of.cache_clear()


def forget(folder: Path) -> None:
    """As a new process would begin."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[..., Workspace]:
    """The workspace of the task file as it is written now."""

    def of(subject: str | None = None, **options: Any) -> Workspace:
        forget(tmp_path)
        fields = spec(task={"name": NAME, "options": options}, space={})
        job = parse_job(fields, folder=tmp_path)
        return Workspace(context_of(job, tmp_path, subject=subject))

    (tmp_path / "my_task.py").write_text(TASK.format(**PLAIN))
    return of


def write(folder: Path, **parts: str) -> None:
    (folder / "my_task.py").write_text(TASK.format(**PLAIN | parts))
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)


class TestTorchTask:
    def test_the_same_task_is_the_same(self, workspace: Callable[..., Workspace]) -> None:
        first = workspace()
        assert workspace().digest == first.digest
        assert workspace(first.digest).digest == first.digest

    @pytest.mark.parametrize("options", [{"scale": 100.0}, {"seed": 1}])
    def test_options_that_change_the_model(self, workspace: Callable[..., Workspace], options: dict[str, Any]) -> None:
        one, other = workspace(), workspace(**options)
        assert one.task.digest != other.task.digest
        assert one.digest != other.digest
        assert one.exported.sha256 != other.exported.sha256

    def test_labels(self, workspace: Callable[..., Workspace]) -> None:
        one, other = workspace(), workspace(labels=1)
        assert one.task.data_digest != other.task.data_digest
        assert one.digest != other.digest
        assert one.exported.sha256 == other.exported.sha256

    def test_the_metric(self, workspace: Callable[..., Workspace], tmp_path: Path) -> None:
        before = workspace().digest
        write(tmp_path, metric="2.0")
        assert workspace().digest != before
        with pytest.raises(InvalidInput, match="another model or other data"):
            workspace(before)

    def test_a_helper_that_forward_calls(self, workspace: Callable[..., Workspace], tmp_path: Path) -> None:
        (tmp_path / "ops.py").write_text("def mended(x):\n    return x + 1\n")
        write(tmp_path, imports="import ops", forward="ops.mended(self.inner(x))")
        before = workspace()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        (tmp_path / "ops.py").write_text("def mended(x):\n    return x + 2\n")
        after = workspace()
        assert before.task.digest == after.task.digest  # no part of the module tells
        assert before.digest != after.digest
        assert before.exported.sha256 != after.exported.sha256
        with pytest.raises(InvalidInput, match="another model or other data"):
            workspace(before.digest)

    def test_a_file_that_no_digest_knows_of(self, workspace: Callable[..., Workspace], tmp_path: Path) -> None:
        """The bytes that are exported tell, even where everything else is the same."""
        place = tmp_path / "scale.json"
        place.write_text("1.0")
        write(tmp_path, imports=f"import json, pathlib\nSCALE = pathlib.Path({str(place)!r})",
              forward="self.inner(x) * json.loads(SCALE.read_text())")  # fmt: skip
        before = workspace()
        first = before.exported.sha256
        place.write_text("3.0")
        after = workspace()
        assert after.exported.sha256 != first
        assert after.digest != before.digest
        assert onnx.load(after.baseline_path) != onnx.load(before.baseline_path)

    def test_an_export_is_the_same_bytes_in_every_process(
        self, workspace: Callable[..., Workspace], tmp_path: Path
    ) -> None:
        program = (
            "import sys, json; from search.trials.workspace import Workspace;"
            "from search.trials.context import JobContext;"
            "from search.job.devices import JobDevice; from search.job.spec import Job;"
            "from hwprofiles import find_device;"
            "devices = (JobDevice('local-cpu', find_device('local-cpu')),);"
            "print(Workspace(JobContext(Job.model_validate_json(sys.argv[1]), sys.argv[2], devices)).digest)"
        )
        here = workspace()
        job = here.context.job.model_dump_json()
        printed = subprocess.run(
            [sys.executable, "-c", program, job, str(tmp_path)], cwd="/", check=True, text=True,
            env=environment(tmp_path / "home", OMP_NUM_THREADS="1"), capture_output=True,
        )  # fmt: skip
        assert printed.stdout.strip() == here.digest


OPTIONS = {"model": "model.onnx", "data": "samples.npz"}


class TestOnnxTask:
    def test_external_weights(self, tmp_path: Path) -> None:
        """Exported again after a training, only the file beside the model differs."""
        found = []
        for seed in (0, 1):
            model = classifier(2, seed=seed)
            for tensor in model.graph.initializer:
                tensor.name = tensor.name.replace("weight", "w")
            for node in model.graph.node:
                node.input[:] = [name.replace("weight", "w") for name in node.input]
            (tmp_path / "model.onnx.data").unlink(missing_ok=True)
            convert_model_to_external_data(model, location="model.onnx.data", size_threshold=0)
            onnx.save(model, tmp_path / "model.onnx")
            np.savez(tmp_path / "samples.npz", **samples())
            task = open_task("onnx", OPTIONS, tmp_path)
            found.append(((tmp_path / "model.onnx").read_bytes(), task.digest, task.data_digest))
        (one, digest, data), (other, other_digest, other_data) = found
        assert one == other
        assert digest != other_digest
        assert data == other_data

    def test_false_negatives_and_labels_are_of_the_data(self, tmp_path: Path) -> None:
        onnx.save(classifier(1), tmp_path / "model.onnx")
        np.savez(tmp_path / "samples.npz", **samples())
        plain = open_task("onnx", OPTIONS, tmp_path)
        named = open_task("onnx", OPTIONS | {"false_negatives": [1]}, tmp_path)
        assert plain.data_digest != named.data_digest


class TestArrays:
    def test_text_is_named_by_what_it_says(self) -> None:
        """Not by where it lies, which differs from process to process."""
        program = (
            "import numpy as np; from search.tasks.arrays import arrays_digest;"
            "print(arrays_digest({'t': np.array([['one', 'two'], ['three', 'ü']], dtype=object)}))"
        )
        runs = [
            subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
            for _ in range(2)
        ]
        here = np.array([["one", "two"], ["three", "ü"]], dtype=object)
        assert runs[0] == runs[1] == arrays_digest({"t": here}) + "\n"
        other = here.copy()
        other[0, 0], other[0, 1] = "on", "etwo"
        assert arrays_digest({"t": other}) != arrays_digest({"t": here})

    def test_scalars_and_nothing(self) -> None:
        digests = [arrays_digest({"x": value}) for value in (np.float32(1), np.ones(1, np.float32), np.ones((0, 3)))]
        assert len(set(digests)) == 3


class TestFolder:
    """A task that reads a file beside the job file by its relative path, wherever a process was started."""

    @pytest.fixture
    def order(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobContext:
        home = tmp_path / "home"
        home.mkdir()
        write(home, imports="from pathlib import Path", forward="self.inner(x) * float(Path('scale.json').read_text())")
        (home / "scale.json").write_text("2.0")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        job = parse_job(spec(task={"name": NAME}, space={}), folder=home)
        return context_of(job, home)

    def test_every_verb_works_there(self, order: JobContext, tmp_path: Path) -> None:
        sandbox = Sandbox()
        try:
            path = sandbox.call(sandboxed.fp32_model, order, stage="building", limit_s=120)
            built = sandbox.call(sandboxed.build, order, {}, tmp_path / "out.onnx", stage="building", limit_s=120)
        finally:
            sandbox.close()
        assert built.path.read_bytes() == path.read_bytes()

    def test_the_caller_stays_where_it_is(self, order: JobContext, tmp_path: Path) -> None:
        sandboxed.fp32_model(order)
        assert Path.cwd() == tmp_path / "elsewhere"

    def test_a_folder_that_is_gone_is_no_matter(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(classifier(1).SerializeToString())
        np.savez(tmp_path / "samples.npz", **samples())
        options = {name: str(tmp_path / file) for name, file in OPTIONS.items()}
        job = Job.model_validate(spec(task={"name": "onnx", "options": options}))
        order = context_of(job, tmp_path / "gone")
        assert sandboxed.fp32_model(order).is_file()
