"""Conformance suites of tasks: a task's test class subclasses :class:`TaskConformance`, or, if job files name it by its
registry name, :class:`BuiltInTaskConformance`.

    from my_package.tasks import make_task
    from search.testing.tasks import TaskConformance

    class TestMyTask(TaskConformance):
        def make(self, folder):
            return make_task(width=4)

Needs pytest. Choose options with which the model is small and quickly trained: most tests export it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import input_specs, load_model, output_specs
from evaluators.runtimes import OnnxRuntime
from evaluators.tensors import Array, Arrays
from hwprofiles.errors import InvalidInput
from search.tasks import TASKS, BuiltInTask, Split, Task

SPLITS: tuple[Split, ...] = get_args(Split)


def check_equal(first: Arrays, second: Arrays) -> None:
    """Checks that two mappings hold the same arrays in the same order."""
    assert list(first) == list(second)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def export_and_predict(task: Task, path: Path, samples: Arrays) -> dict[str, Array]:
    """Exports the task's model to ``path`` and computes its outputs for ``samples``."""
    task.export(path)
    session = OnnxRuntime().open(path)
    try:
        return session.predict(samples, batch=16)
    finally:
        session.close()


class TaskConformance:
    """What every task promises."""

    def make(self, folder: Path) -> Task:
        """Opens the task, as each process does that needs it; ``folder`` is the same for all calls of a test."""
        raise NotImplementedError

    @pytest.fixture
    def task(self, tmp_path: Path) -> Task:
        return self.make(tmp_path)

    def test_another_process_opens_the_same(self, task: Task, tmp_path: Path) -> None:
        again = self.make(tmp_path)
        assert task.digest
        assert (task.digest, task.data_digest) == (again.digest, again.data_digest)
        for split in SPLITS:
            check_equal(task.inputs(split), again.inputs(split))

    @pytest.mark.parametrize("split", SPLITS)
    def test_every_split_has_samples_of_all_inputs(self, task: Task, split: Split) -> None:
        inputs = task.inputs(split)
        (count,) = {len(values) for values in inputs.values()}
        assert count > 0
        kinds = {name: (values.dtype, values.shape[1:]) for name, values in inputs.items()}
        assert kinds == {name: (values.dtype, values.shape[1:]) for name, values in task.inputs("test").items()}
        clusters = task.clusters(split)
        assert clusters is None or clusters.shape == (count,)

    def test_splits_differ_unless_they_are_shared(self, task: Task) -> None:
        calibration, validation, test = (
            tuple(values.tobytes() for values in task.inputs(split).values()) for split in SPLITS
        )
        if task.shared_split:
            assert calibration == validation == test
        else:
            assert len({calibration, validation, test}) == 3

    def test_the_exported_model_takes_the_samples(self, task: Task, tmp_path: Path) -> None:
        samples = {name: values[:3] for name, values in task.inputs("test").items()}
        outputs = export_and_predict(task, tmp_path / "model.onnx", samples)
        specs = input_specs(load_model(tmp_path / "model.onnx"))
        assert {spec.name: spec.dtype for spec in specs} == {name: str(x.dtype) for name, x in samples.items()}
        assert outputs
        for values in outputs.values():
            assert np.isfinite(values).all()

    def test_it_exports_the_same_bytes_again(self, task: Task, tmp_path: Path) -> None:
        task.export(tmp_path / "first.onnx")
        self.make(tmp_path).export(tmp_path / "second.onnx")
        assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()

    def test_the_structure_alone_has_the_same_layers(self, task: Task, tmp_path: Path) -> None:
        task.export(tmp_path / "structure.onnx", trained=False)
        task.export(tmp_path / "model.onnx")
        structure, model = (clean_graph(load_model(tmp_path / f"{name}.onnx")) for name in ("structure", "model"))
        assert input_specs(structure) == input_specs(model)
        assert output_specs(structure) == output_specs(model)
        groups, expected = layer_groups(structure), layer_groups(model)
        assert [(group.name, group.weights) for group in groups] == [(group.name, group.weights) for group in expected]

    def test_metrics_are_figures_under_declared_names(self, task: Task, tmp_path: Path) -> None:
        outputs = export_and_predict(task, tmp_path / "model.onnx", task.inputs("validation"))
        count = len(next(iter(task.inputs("validation").values())))
        scores = task.score(outputs, "validation")
        for values in scores.values():
            assert values.shape == (count,)
            assert np.isfinite(values).all()
        metrics = task.evaluate(lambda inputs: outputs, "validation")
        assert set(scores) <= set(metrics)
        assert all(isinstance(value, float) for value in metrics.values())
        names = task.metric_names()
        assert names is None or set(metrics) == names

    def test_training_is_offered_as_declared(self, task: Task) -> None:
        if task.trainable:
            assert task.module(trained=False)
            assert task.training()
            return
        for call in (task.module, task.training):
            with pytest.raises(InvalidInput) as caught:
                call()
            assert caught.value.hint

    def test_the_module_is_the_exported_model(self, task: Task, tmp_path: Path) -> None:
        """Each call returns a copy, in evaluation mode; a changed one is exported in its place."""
        if not task.trainable:
            pytest.skip("it has no module")
        import torch

        samples = {name: values[:8] for name, values in task.inputs("test").items()}
        expected = next(iter(export_and_predict(task, tmp_path / "model.onnx", samples).values()))
        module = task.module()
        assert not module.training
        assert {parameter.device.type for parameter in module.parameters()} <= {"cpu"}
        with torch.no_grad():
            output = module(*(torch.from_numpy(values) for values in samples.values()))
            for parameter in module.parameters():
                parameter.zero_()
        first = output if isinstance(output, torch.Tensor) else next(iter(_values(output)))
        np.testing.assert_allclose(first.numpy(), np.asarray(expected, np.float64), atol=1e-4)
        assert any(parameter.abs().sum() > 0 for parameter in task.module().parameters())
        task.export(tmp_path / "changed.onnx", module=module)
        assert (tmp_path / "changed.onnx").read_bytes() != (tmp_path / "model.onnx").read_bytes()
        assert [value.name for value in onnx.load(tmp_path / "changed.onnx").graph.input] == list(samples)

    def test_training_data_follow_from_the_generator(self, task: Task, tmp_path: Path) -> None:
        if not task.trainable:
            pytest.skip("it has no training data")
        training, again = task.training(), self.make(tmp_path).training()
        assert training.digest == again.digest
        first, same, other = (
            data.epoch(np.random.default_rng(seed)) for data, seed in ((training, 0), (again, 0), (training, 1))
        )
        assert len(first) == len(other)
        for values, equal in zip(first.inputs, same.inputs, strict=True):
            np.testing.assert_array_equal(values, equal)
        expected = [values.shape[1:] for values in task.inputs("calibration").values()]
        assert [values.shape[1:] for values in first.inputs] == expected
        assert [values.shape[1:] for values in training.validation.inputs] == expected


def _values(output: Any) -> Any:
    return output.values() if isinstance(output, dict) else output


class BuiltInTaskConformance(TaskConformance):
    """What a task promises that job files name by its registry name."""

    kind: ClassVar[type[BuiltInTask]]
    options: ClassVar[dict[str, Any]]
    """Options with which it is small."""

    def make(self, folder: Path) -> Task:
        return self.kind.open(self.kind.Options(**self.options), folder)

    def test_it_is_registered(self) -> None:
        assert self.kind in TASKS.values()

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="not permitted"):
            self.kind.Options(**self.options, no_such_option=1)
