"""Tasks of a user's own: functions found from the job file's folder, or in a package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from command_line import environment
from torch import nn

from evaluators.graphs.reference_run import run_once
from hwprofiles.errors import InvalidInput
from search.tasks import Split, Task, TorchTask, check_task, open_task
from search.testing.tasks import TaskConformance
from search.training.data import Samples

SPLITS: tuple[Split, ...] = ("calibration", "validation", "test")
NUMPY_TASK = """
import numpy as np
from onnx_builder import Builder
from search.tasks import Task

class Lines(Task):
    digest = "lines"

    def __init__(self, slope):
        self.slope = slope

    def export(self, path, *, trained=True):
        b = Builder(17)
        b.op("MatMul", b.input("x", ["n", 8]), b.const(np.eye(8) * self.slope), out="y")
        b.output("y", shape=["n", 8])
        path.write_bytes(b.model().SerializeToString())

    def inputs(self, split):
        return {"x": np.ones((4, 8), np.float32)}

    def evaluate(self, predict, split):
        return {"slope": float(predict(self.inputs(split))["y"].mean())}

def make_task(slope: float = 2.0):
    return Lines(slope)

def make_nothing():
    return {"slope": 2}

not_a_function = 3
"""


@pytest.fixture(autouse=True)
def _own_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a user's files add to the module path and to the loaded modules ends with the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "my_task.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value.message, caught.value.hint


class TestFinding:
    def test_a_function_of_a_file(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write(NUMPY_TASK)
        task = open_task("./my_task.py:make_task", {}, tmp_path)
        assert task.evaluate(lambda feeds: {"y": feeds["x"] * 3}, "test") == {"slope": 3.0}
        task.export(tmp_path / "model.onnx")
        outputs = run_once(onnx.load(tmp_path / "model.onnx"), task.inputs("test"))
        assert outputs["y"].mean() == 2.0

    def test_options_are_its_arguments(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write(NUMPY_TASK)
        assert vars(open_task("my_task.py:make_task", {"slope": 5.0}, tmp_path)) == {"slope": 5.0}

    def test_the_working_folder_does_not_matter(
        self, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(NUMPY_TASK, "deep/my_task.py")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert isinstance(open_task("./deep/my_task.py:make_task", {}, tmp_path), Task)
        absolute = f"{tmp_path / 'deep' / 'my_task.py'}:make_task"
        assert isinstance(open_task(absolute, {}, Path("nowhere")), Task)

    def test_files_beside_it_are_importable_now_and_later(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write("slope = 4.0", "my_slopes.py")
        write("slope = 5.0", "my_later_slopes.py")
        both = "def make_both():\n    import my_later_slopes as late\n    return Lines(my_slopes.slope + late.slope)\n"
        write(f"{NUMPY_TASK}\nimport my_slopes\n{both}")
        assert vars(open_task("./my_task.py:make_both", {}, tmp_path)) == {"slope": 9.0}

    def test_two_files_of_one_name_are_two(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write(NUMPY_TASK, "one/my_task.py")
        write(NUMPY_TASK.replace("2.0", "7.0"), "two/my_task.py")
        slopes = [vars(open_task(f"{folder}/my_task.py:make_task", {}, tmp_path)) for folder in ("one", "two")]
        assert slopes == [{"slope": 2.0}, {"slope": 7.0}]

    def test_a_function_of_an_installed_package(
        self, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write("", "site/my_package/__init__.py")
        write(NUMPY_TASK, "site/my_package/tasks.py")
        monkeypatch.syspath_prepend(tmp_path / "site")
        assert isinstance(open_task("my_package.tasks:make_task", {}, Path("elsewhere")), Task)

    def test_a_package_beside_the_job_file(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write(NUMPY_TASK, "my_near_package/tasks.py")
        assert isinstance(open_task("my_near_package.tasks:make_task", {}, tmp_path), Task)

    def test_checking_a_name_runs_nothing(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write("def make_task(): ...\nraise SystemExit(1)")
        check_task("./my_task.py:make_task", tmp_path)
        check_task("json.tool:make_task", tmp_path)

    @pytest.mark.parametrize(
        "text",
        [
            "def make_task(): ...", "from elsewhere import make_task", "from elsewhere import *",
            "if True:\n    make_task = print", "import make_task", "globals()['make_task'] = print",
        ],
    )  # fmt: skip
    def test_a_function_is_there_however_it_came(self, write: Callable[..., Path], tmp_path: Path, text: str) -> None:
        write(text)
        check_task("./my_task.py:make_task", tmp_path)

    def test_a_function_that_is_missing_is_told_without_running_anything(
        self, write: Callable[..., Path], tmp_path: Path
    ) -> None:
        write("def make_tusk():\n    def make_task(): ...\nraise SystemExit(1)")
        message, hint = refused(lambda: check_task("./my_task.py:make_task", tmp_path))
        assert message == "task.name: ./my_task.py has no function 'make_task'"
        assert hint == "did you mean 'make_tusk'?"


class TestRefusing:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("./my_task.py:make_tusk", "has no function 'make_tusk'"),
            ("./my_task.py:not_a_function", "has no function 'not_a_function'"),
            ("./my_task.py:make_nothing", "returned dict, not a Task"),
            ("./my_tusk.py:make_task", "my_tusk.py does not exist"),
            (
                "no_such_package.tasks:make_task",
                "no_such_package.tasks cannot be imported: there is no module",
            ),
            ("digit", "unknown task 'digit'"),
            ("wit", "unknown task 'wit'"),
            (":make_task", "cannot be imported"),
            ("..:make_task", "cannot be imported"),
        ],
    )
    def test_a_name_that_leads_nowhere(self, write: Callable[..., Path], tmp_path: Path, name: str, said: str) -> None:
        write(NUMPY_TASK)
        message, hint = refused(lambda: open_task(name, {}, tmp_path))
        assert message.startswith("task.name: ")
        assert said in message
        assert hint

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("import no_such_module_anywhere\n", "No module named 'no_such_module_anywhere' (at my_task.py:1)"),
            ("def make_task(:\n", "SyntaxError"),
            ("\n\nraise ValueError('not today')\n", "ValueError: not today (at my_task.py:3)"),
            ("1 / 0\n", "ZeroDivisionError: division by zero (at my_task.py:1)"),
            ("raise KeyError('a\\nb')\n", "KeyError"),
        ],
    )
    def test_a_file_that_does_not_load(self, write: Callable[..., Path], tmp_path: Path, text: str, said: str) -> None:
        write(text)
        message, _ = refused(lambda: open_task("./my_task.py:make_task", {}, tmp_path))
        assert message.startswith("task.name: ./my_task.py cannot be imported: ")
        assert said in message
        # Mended, it loads in the same process.
        write(NUMPY_TASK)
        assert isinstance(open_task("./my_task.py:make_task", {}, tmp_path), Task)

    @pytest.mark.parametrize("options", [{"slop": 1}, {"slope": 1, "more": 2}])
    def test_options_that_it_does_not_take(
        self, write: Callable[..., Path], tmp_path: Path, options: dict[str, Any]
    ) -> None:
        write(NUMPY_TASK)
        message, hint = refused(lambda: open_task("./my_task.py:make_task", options, tmp_path))
        assert message.startswith("task.options: ./my_task.py:make_task: got an unexpected keyword argument")
        assert "slope" in hint

    def test_an_option_that_is_missing(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write("def make_task(path): ...")
        message, _ = refused(lambda: open_task("./my_task.py:make_task", {}, tmp_path))
        assert "missing a required argument: 'path'" in message

    def test_what_the_function_raises_is_its_own(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write("def make_task():\n    raise FileNotFoundError('weights.pt')")
        with pytest.raises(FileNotFoundError):
            open_task("./my_task.py:make_task", {}, tmp_path)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(torch.relu(self.inner(x)))
        return result


def arrays(count: int = 12) -> dict[Split, dict[str, Any]]:
    rng = np.random.default_rng(0)
    return {split: {"x": rng.standard_normal((count, 6)).astype(np.float32)} for split in SPLITS}


def labels(count: int = 12) -> dict[Split, Any]:
    return {split: np.arange(count) % 3 for split in SPLITS}


def net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


class TestTorchTask(TaskConformance):
    def make(self, folder: Path) -> Task:
        return TorchTask(net(), arrays(), labels=labels())

    def test_labels_give_accuracy(self) -> None:
        task = TorchTask(net(), arrays(), labels=labels())
        logits = np.eye(3, dtype=np.float32)[labels()["test"]]
        assert task.score({"output": logits}, "test")["accuracy"].mean() == 1.0
        assert set(task.evaluate(lambda feeds: {"output": logits}, "test")) == {"accuracy", "nll"}
        assert TorchTask(net(), arrays()).score({"output": logits}, "test") == {}

    def test_evaluate_adds_to_it(self) -> None:
        def evaluate(predict: Any, split: Split) -> dict[str, float]:
            return {"samples": float(len(predict(arrays()[split])["output"]))}

        task = TorchTask(net(), arrays(), labels=labels(), evaluate=evaluate)
        found = task.evaluate(lambda feeds: {"output": feeds["x"][:, :3]}, "validation")
        assert set(found) == {"accuracy", "nll", "samples"}
        assert found["samples"] == 12

    def test_the_digest_names_weights_and_data(self) -> None:
        digests = {TorchTask(net(), arrays()).digest, TorchTask(net(), arrays()).digest}
        assert len(digests) == 1
        changed = arrays()
        changed["calibration"]["x"] = changed["calibration"]["x"] + 1
        others = {TorchTask(net(1), arrays()).digest, TorchTask(net(), changed).digest}
        others.add(TorchTask(net(), arrays(13)).digest)
        assert len(digests | others) == 4

    def test_the_digest_names_the_code(self, write: Callable[..., Path], tmp_path: Path) -> None:
        """Equal weights under another ``forward`` are another model."""
        text = """
import numpy as np, torch
from search.tasks import TorchTask
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(6, 3)
    def forward(self, x):
        return torch.relu(self.inner(x))
def make_task():
    torch.manual_seed(0)
    x = np.ones((4, 6), np.float32)
    return TorchTask(Net(), {split: {"x": x} for split in ("calibration", "validation", "test")})
"""
        write(text, "one/task.py")
        write(text, "same/task.py")
        write(text.replace("relu", "tanh"), "two/task.py")
        one, same, two = (open_task(f"{f}/task.py:make_task", {}, tmp_path).digest for f in ("one", "same", "two"))
        assert one == same != two

    def test_a_digest_is_the_same_in_every_process(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write(
            "import numpy as np, torch\nfrom search.tasks import TorchTask\n"
            "def make_task():\n    torch.manual_seed(0)\n"
            "    x = {s: {'x': np.ones((2, 6), np.float32)} for s in ('calibration', 'validation', 'test')}\n"
            "    return TorchTask(torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.GELU()), x)\n"
        )
        name = "./my_task.py:make_task"
        program = (
            "import sys, pathlib; from search.tasks import open_task;"
            f"print(open_task({name!r}, {{}}, pathlib.Path(sys.argv[1])).digest)"
        )
        printed = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], env=environment(tmp_path, OMP_NUM_THREADS="1"), cwd="/",
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert printed.stdout.strip() == open_task(name, {}, tmp_path).digest

    @pytest.mark.parametrize("split", SPLITS)
    def test_every_split_is_needed(self, split: Split) -> None:
        some = {name: values for name, values in arrays().items() if name != split}
        message, hint = refused(lambda: TorchTask(net(), some))
        assert f"no inputs for the split {split!r}" in message
        assert "calibration, validation, test" in hint

    def test_one_label_a_sample(self) -> None:
        message, _ = refused(lambda: TorchTask(net(), arrays(), labels=labels(11)))
        assert "x 12, labels 11" in message


class TestTraining:
    def test_the_calibration_split_is_what_it_learns_from(self) -> None:
        task = TorchTask(net(), arrays(), labels=labels())
        training = task.training()
        given = training.epoch(np.random.default_rng(0))
        assert given.inputs[0] is task.inputs("calibration")["x"]
        assert given.labels is not None
        assert given.labels.tolist() == labels()["calibration"].tolist()
        assert training.validation.inputs[0] is task.inputs("validation")["x"]
        assert (training.loss, training.figure) == (None, None)

    def test_batches_loss_and_figure_of_one_s_own(self) -> None:
        def epoch(rng: np.random.Generator) -> Samples:
            return Samples((rng.standard_normal((5, 6)).astype(np.float32),))

        def loss(raw: Any, given: torch.Tensor) -> torch.Tensor:
            return torch.zeros(())

        def figure(outputs: Any, given: Any) -> float:
            return 0.0

        task = TorchTask(net(), arrays(), epoch=epoch, loss=loss, figure=figure)
        training = task.training()
        assert (training.epoch, training.loss, training.figure) == (epoch, loss, figure)
        assert training.validation.labels is None
        plain = TorchTask(net(), arrays())
        assert task.digest == plain.digest
        assert (
            training.digest != plain.training().digest != TorchTask(net(), arrays(), labels=labels()).training().digest
        )

    def test_a_task_without_a_module_says_so(self, write: Callable[..., Path], tmp_path: Path) -> None:
        write(NUMPY_TASK)
        task = open_task("./my_task.py:make_task", {}, tmp_path)
        assert not task.trainable
        for call in (task.module, task.training):
            message, hint = refused(call)
            assert "Lines has no PyTorch model" in message
            assert "TorchTask" in hint

    def test_false_negatives_of_named_classes(self) -> None:
        task = TorchTask(net(), arrays(), labels=labels(), false_negatives=[1])
        logits = np.eye(3, dtype=np.float32)[labels()["test"]]
        logits[1] = [1, 0, 0]  # one of the four samples of class 1
        found = task.evaluate(lambda feeds: {"output": logits}, "test")
        assert found["fnr:1"] == pytest.approx(0.25)
        assert set(found) == {"accuracy", "nll", "fnr:1"}


@pytest.mark.parametrize("inputs", [None, {"calibration": None}, [1.0]])
def test_inputs_that_are_no_mapping_of_splits_are_refused(inputs: Any) -> None:
    with pytest.raises(InvalidInput, match="must map each split to named arrays"):
        TorchTask(torch.nn.Linear(2, 2), inputs)
