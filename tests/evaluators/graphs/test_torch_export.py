"""A torch module and its file answer alike, at any batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from evaluators import torch_export
from evaluators.graphs.model import load_model, opset_of
from evaluators.runtimes import OnnxRuntime
from evaluators.tensors import Array
from evaluators.torch_export import OPSET, export_module
from hwprofiles.errors import BuildFailed


class Classifier(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Dropout(0.5),
            torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(x)
        return found


class TwoWay(torch.nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return left - right, (left * right).sum(dim=1)


class Random(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


class NotFinite(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(x - x.abs() - 1)


class Unexportable(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled() and not torch.jit.is_tracing() and not torch.compiler.is_compiling():
            return x
        raise RuntimeError("cannot be traced\nin any way")


def images(count: int, *, seed: int = 0) -> dict[str, Array]:
    return {"x": np.random.default_rng(seed).standard_normal((count, 1, 8, 8)).astype(np.float32)}


def answers(path: Path, samples: dict[str, Array], *, batch: int) -> dict[str, Array]:
    session = OnnxRuntime().open(path)
    found = session.predict(samples, batch=batch)
    session.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


class TestExport:
    @pytest.mark.parametrize("batch", [1, 3, 10])
    def test_the_file_answers_as_torch_does(self, path: Path, batch: int) -> None:
        module = Classifier()
        export_module(module, images(2), path)
        others = images(10, seed=1)
        with torch.no_grad():
            expected = module(torch.from_numpy(others["x"])).numpy()
        np.testing.assert_allclose(answers(path, others, batch=batch)["output"], expected, atol=1e-5)

    def test_the_first_axis_is_dynamic_under_the_names_given(self, path: Path) -> None:
        export_module(Classifier(), images(2), path, outputs=("logits",))
        session = OnnxRuntime().open(path)
        assert [(spec.name, spec.shape) for spec in session.inputs] == [("x", (None, 1, 8, 8))]
        assert [(spec.name, spec.shape) for spec in session.outputs] == [("logits", (None, 3))]
        session.close()

    def test_several_inputs_and_outputs(self, path: Path) -> None:
        left, right = (np.random.default_rng(seed).standard_normal((4, 5)).astype(np.float32) for seed in range(2))
        export_module(TwoWay(), {"left": left, "right": right}, path, outputs=("difference", "product"))
        found = answers(path, {"left": left, "right": right}, batch=4)
        np.testing.assert_allclose(found["difference"], left - right, atol=1e-6)
        np.testing.assert_allclose(found["product"], (left * right).sum(axis=1), atol=1e-5)

    def test_a_module_in_training_is_exported_as_it_predicts(self, path: Path) -> None:
        module = Classifier().train()
        export_module(module, images(2), path)
        assert not {"Dropout", "RandomUniform"} & {node.op_type for node in onnx.load(path).graph.node}

    def test_the_rest_of_the_project_reads_the_file(self, path: Path) -> None:
        export_module(Classifier(), images(1), path)
        assert opset_of(load_model(path)) == OPSET

    def test_the_same_module_gives_the_same_bytes(self, path: Path, tmp_path: Path) -> None:
        """Files are named by their content."""
        again = tmp_path / "again.onnx"
        export_module(Classifier(), images(2), path)
        export_module(Classifier(), images(2), again)
        assert path.read_bytes() == again.read_bytes()

    def test_the_other_exporter_where_the_first_fails(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("no symbolic for aten::new")

        monkeypatch.setattr(torch_export, "_export_torchscript", fail)
        module = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.ReLU())
        samples = {"x": np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)}
        export_module(module, samples, path, outputs=("y",))
        more = {"x": np.random.default_rng(1).standard_normal((7, 6)).astype(np.float32)}
        with torch.no_grad():
            expected = module(torch.from_numpy(more["x"])).numpy()
        np.testing.assert_allclose(answers(path, more, batch=7)["y"], expected, atol=1e-5)
        assert load_model(path)


class TestFailures:
    def test_a_module_that_answers_otherwise_each_time(self, path: Path) -> None:
        with pytest.raises(BuildFailed, match="differs from torch by") as caught:
            export_module(Random(), images(2), path)
        assert caught.value.hint

    def test_a_module_that_gives_no_numbers(self, path: Path) -> None:
        with pytest.raises(BuildFailed, match="differs from torch by nan"):
            export_module(NotFinite(), images(2), path)

    def test_a_module_that_no_exporter_takes(self, path: Path) -> None:
        with pytest.raises(BuildFailed, match="torch cannot export the model to ONNX: ") as caught:
            export_module(Unexportable(), images(2), path)
        assert caught.value.hint == "the older exporter failed too: cannot be traced"
        assert "\n" not in caught.value.message
