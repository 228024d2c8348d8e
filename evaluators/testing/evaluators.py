"""Conformance suites of evaluators: an evaluator of the file alone has a test class that subclasses
:class:`FileEvaluatorConformance`, one that measures on a device a subclass of :class:`DeviceEvaluatorConformance`.

    from evaluators.testing.evaluators import FileEvaluatorConformance
    from my_package.operators import OperatorEvaluator

    class TestOperators(FileEvaluatorConformance):
        kind = OperatorEvaluator

Needs pytest. The evaluator must be in ``FILE_EVALUATORS`` or ``DEVICE_EVALUATORS``, its metrics in ``METRICS``.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from evaluators.devices import evaluators
from evaluators.devices.device import Device, LocalDevice
from evaluators.devices.evaluator import Evaluator
from evaluators.devices.evaluators import MeasuringEvaluator
from evaluators.metrics import METRICS, base_of
from evaluators.tensors import Arrays
from hwprofiles import find_device
from hwprofiles.errors import CandidateError

INPUTS = 8
LIMIT_S = 60.0


def write_layers(path: Path, layers: int) -> Path:
    """Writes a model of so many matrix products, each with a ReLU behind it; half of the weights are zero."""
    nodes, weights, tensor = [], [], "x"
    for number in range(layers):
        values = np.arange(INPUTS * INPUTS).reshape(INPUTS, INPUTS) % 2 * (number + 1)
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"weight{number}"))
        nodes.append(helper.make_node("MatMul", [tensor, f"weight{number}"], [f"product{number}"], f"product{number}"))
        tensor = "y" if number == layers - 1 else f"layer{number}"
        nodes.append(helper.make_node("Relu", [f"product{number}"], [tensor], f"relu{number}"))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", INPUTS]) for name in "xy")
    graph = helper.make_graph(nodes, "suite", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


class EvaluatorConformance:
    """What every evaluator promises."""

    kind: ClassVar[type[Evaluator]]
    reads_model: ClassVar[bool] = True
    """Whether it reads the model in the file, so that it refuses a file that is none."""

    @pytest.fixture
    def evaluator(self, model: Path) -> Evaluator:
        return self.kind()

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        return write_layers(tmp_path / "model.onnx", 3)

    @pytest.fixture
    def other(self, tmp_path: Path) -> Path:
        return write_layers(tmp_path / "other.onnx", 1)

    def test_every_metric_has_a_row(self) -> None:
        named = self.kind.metrics | self.kind.sometimes
        assert self.kind.metrics
        assert named <= METRICS.keys()
        assert named == {base_of(name) for name in named}
        assert not self.kind.metrics & self.kind.sometimes

    def test_it_gives_the_metrics_that_it_names(self, evaluator: Evaluator, model: Path) -> None:
        names = evaluator.evaluate(model).metrics.keys()
        assert self.kind.metrics <= names <= self.kind.metrics | self.kind.sometimes

    def test_figures_are_finite_plain_data(self, evaluator: Evaluator, model: Path) -> None:
        figures = evaluator.evaluate(model).metrics
        assert json.loads(json.dumps(figures, allow_nan=False)) == figures
        for name, figure in figures.items():
            assert math.isfinite(main_figure(figure)), name

    def test_a_file_that_is_not_there_fails_and_the_next_does_not(self, evaluator: Evaluator, model: Path) -> None:
        with pytest.raises(CandidateError):
            evaluator.evaluate(model.with_name("none.onnx"))
        assert evaluator.evaluate(model).metrics.keys() >= self.kind.metrics

    @pytest.mark.parametrize("content", [b"", b"not a model", bytes(1000)])
    def test_a_file_that_is_no_model_fails_and_the_next_does_not(
        self, evaluator: Evaluator, model: Path, content: bytes
    ) -> None:
        broken = model.with_name("broken.onnx")
        broken.write_bytes(content)
        with pytest.raises(CandidateError) if self.reads_model else nullcontext():
            evaluator.evaluate(broken)
        assert evaluator.evaluate(model).metrics.keys() >= self.kind.metrics

    def test_it_changes_no_file(self, evaluator: Evaluator, model: Path) -> None:
        before = {path.name: path.read_bytes() for path in model.parent.iterdir()}
        evaluator.evaluate(model)
        assert {path.name: path.read_bytes() for path in model.parent.iterdir()} == before


class FileEvaluatorConformance(EvaluatorConformance):
    """What an evaluator of exact metrics promises: the file alone decides them."""

    def test_the_registry_holds_it(self) -> None:
        assert self.kind in evaluators.FILE_EVALUATORS

    def test_its_metrics_are_exact(self) -> None:
        rows = [METRICS[name] for name in self.kind.metrics]
        assert all(row.exact and not row.per_device for row in rows)

    def test_figures_are_the_same_twice_and_in_any_order(self, evaluator: Evaluator, model: Path, other: Path) -> None:
        first = [evaluator.evaluate(path).metrics for path in (model, other, model)]
        assert first[0] == first[2]
        fresh = self.kind()
        assert [fresh.evaluate(path).metrics for path in (other, model)] == [first[1], first[0]]

    def test_neither_place_nor_runtime_decides_them(self, evaluator: Evaluator, model: Path, tmp_path: Path) -> None:
        copy = tmp_path / "elsewhere" / "renamed.onnx"
        copy.parent.mkdir()
        shutil.copy(model, copy)
        assert evaluator.evaluate(copy, "onnxruntime").metrics == evaluator.evaluate(model).metrics


class DeviceEvaluatorConformance(EvaluatorConformance):
    """What an evaluator promises that measures on a device; it measures this machine, so run nothing beside it."""

    kind: ClassVar[type[MeasuringEvaluator]]

    @pytest.fixture(scope="class")
    @classmethod
    def device(cls) -> Iterator[Device]:
        local_cpu = LocalDevice(find_device("local-cpu"))
        yield local_cpu
        local_cpu.close()

    @pytest.fixture
    def sample(self) -> Arrays:
        return {"x": np.ones((1, INPUTS), np.float32)}

    @pytest.fixture
    def evaluator(self, model: Path, device: Device, sample: Arrays) -> Evaluator:
        return self.kind(device, model, sample, LIMIT_S)

    def test_the_registry_holds_it(self) -> None:
        assert self.kind in evaluators.DEVICE_EVALUATORS

    def test_its_metrics_differ_from_device_to_device(self) -> None:
        rows = [METRICS[name] for name in self.kind.metrics | self.kind.sometimes]
        assert all(row.per_device and not row.exact for row in rows)

    def test_another_file_gives_the_same_metrics(self, evaluator: Evaluator, model: Path, other: Path) -> None:
        names = [evaluator.evaluate(path).metrics.keys() for path in (model, other, model)]
        assert names[0] == names[1] == names[2]


def main_figure(figure: Any) -> float:
    """Returns the number that stands for a figure."""
    if isinstance(figure, dict):
        figure = next(figure[key] for key in ("p50", "ratio", "value") if key in figure)
    assert isinstance(figure, int | float)
    assert not isinstance(figure, bool)
    return float(figure)
