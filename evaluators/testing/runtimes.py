"""Conformance suites of runtimes: a runtime's test class subclasses :class:`ExactRuntimeConformance`, or, if it does
not compute what NumPy does, :class:`RuntimeConformance`.

    from evaluators.testing.runtimes import ExactRuntimeConformance
    from my_package.reference import Reference

    class TestReference(ExactRuntimeConformance):
        kind = Reference

Needs pytest. The runtime must be in ``RUNTIMES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from evaluators.runtimes import RUNTIMES, Runtime, Session
from hwprofiles.errors import BuildFailed, CandidateError

Floats = NDArray[np.float32]
Dim = int | str
Open = Callable[[onnx.ModelProto], Session]
Save = Callable[[onnx.ModelProto], Path]

INPUTS, CLASSES = 8, 3
WEIGHT = (np.arange(INPUTS * CLASSES).reshape(INPUTS, CLASSES) % 7 - 3).astype(np.float32)


def make_model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[Dim]],
    outputs: dict[str, list[Dim]],
    *,
    integers: frozenset[str] = frozenset(),
) -> onnx.ModelProto:
    """Makes a model that may read :data:`WEIGHT` as ``weight``; outputs are float32, ``integers`` int64."""
    graph = helper.make_graph(
        nodes,
        "suite",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [
            helper.make_tensor_value_info(name, TensorProto.INT64 if name in integers else TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        [numpy_helper.from_array(WEIGHT, "weight")] if any("weight" in node.input for node in nodes) else [],
    )
    domains = {"": 17} | {node.domain: 1 for node in nodes if node.domain}
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def classifier(batch: Dim) -> onnx.ModelProto:
    """``logits = x @ WEIGHT``."""
    node = helper.make_node("MatMul", ["x", "weight"], ["logits"], name="product")
    return make_model([node], {"x": [batch, INPUTS]}, {"logits": [batch, CLASSES]})


def single_sample() -> onnx.ModelProto:
    """Takes one sample, without a batch axis."""
    node = helper.make_node("MatMul", ["x", "weight"], ["logits"], name="product")
    return make_model([node], {"x": [INPUTS]}, {"logits": [CLASSES]})


def two_inputs(first: Dim, second: Dim) -> onnx.ModelProto:
    """``total = left + right``, and ``largest``, where it is largest."""
    nodes = [
        helper.make_node("Add", ["left", "right"], ["total"], name="sum"),
        helper.make_node("ArgMax", ["total"], ["largest"], name="largest", axis=1, keepdims=0),
    ]
    batch = first if isinstance(first, int) else second
    return make_model(
        nodes,
        {"left": [first, INPUTS], "right": [second, INPUTS]},
        {"total": [batch, INPUTS], "largest": [batch]},
        integers=frozenset({"largest"}),
    )


def unknown_operator() -> onnx.ModelProto:
    """Uses an operator that ONNX does not have."""
    node = helper.make_node("NoSuchOp", ["x"], ["y"], name="unknown")
    return make_model([node], {"x": ["n", INPUTS]}, {"y": ["n", INPUTS]})


def unknown_domain() -> onnx.ModelProto:
    """Uses an operator of a domain that nobody has."""
    node = helper.make_node("Strange", ["x"], ["y"], name="unknown", domain="my.domain")
    return make_model([node], {"x": ["n", INPUTS]}, {"y": ["n", INPUTS]})


def draw_samples(count: int, *, seed: int = 0) -> Floats:
    """Small whole numbers: sums of them are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, (count, INPUTS)).astype(np.float32)


class RuntimeConformance:
    """What every runtime promises."""

    kind: ClassVar[type[Runtime]]

    @pytest.fixture
    def save(self, tmp_path: Path) -> Save:
        """Writes a model into a file."""

        def write(model: onnx.ModelProto) -> Path:
            path = tmp_path / "model.onnx"
            onnx.save(model, path)
            return path

        return write

    @pytest.fixture
    def opened(self, save: Save) -> Iterator[Open]:
        """Opens a model in the runtime; closes it at the end of the test."""
        sessions: list[Session] = []

        def open_model(model: onnx.ModelProto) -> Session:
            sessions.append(self.kind().open(save(model)))
            return sessions[-1]

        yield open_model
        for session in sessions:
            session.close()

    def test_it_is_registered_under_its_name(self) -> None:
        assert RUNTIMES[self.kind.name] is self.kind

    def test_the_version(self) -> None:
        assert self.kind().version() == self.kind().version()
        assert self.kind().version()

    def test_inputs_and_outputs_are_described(self, opened: Open) -> None:
        session = opened(two_inputs("n", "n"))
        assert [(spec.name, spec.dtype, spec.shape) for spec in session.inputs] == [
            ("left", "float32", (None, INPUTS)),
            ("right", "float32", (None, INPUTS)),
        ]
        assert [(spec.name, spec.dtype, spec.shape) for spec in session.outputs] == [
            ("total", "float32", (None, INPUTS)),
            ("largest", "int64", (None,)),
        ]

    def test_a_fixed_batch_is_described(self, opened: Open) -> None:
        assert opened(classifier(4)).inputs[0].shape == (4, INPUTS)

    @pytest.mark.parametrize(("count", "batch"), [(1, 1), (10, 1), (10, 4), (10, 10), (10, 64)])
    def test_predictions_have_a_row_for_each_sample(self, opened: Open, count: int, batch: int) -> None:
        outputs = opened(classifier("n")).predict({"x": draw_samples(count)}, batch=batch)
        assert list(outputs) == ["logits"]
        assert (outputs["logits"].shape, outputs["logits"].dtype.name) == ((count, CLASSES), "float32")

    @pytest.mark.parametrize("count", [1, 4, 5, 8])
    def test_a_fixed_batch_is_filled_up(self, opened: Open, count: int) -> None:
        session = opened(classifier(4))
        assert {len(feed["x"]) for feed in session.batches({"x": draw_samples(count)}, 1)} == {4}
        assert session.predict({"x": draw_samples(count)}, batch=1)["logits"].shape == (count, CLASSES)

    def test_one_fixed_batch_holds_for_all_inputs(self, opened: Open) -> None:
        session = opened(two_inputs(4, "n"))
        outputs = session.predict({"left": draw_samples(6), "right": draw_samples(6)}, batch=1)
        assert outputs["total"].shape == (6, INPUTS)

    def test_a_model_without_a_batch_axis(self, opened: Open) -> None:
        session = opened(single_sample())
        assert session.batches({"x": draw_samples(5)}, 4)[0]["x"].shape == (INPUTS,)
        assert session.predict({"x": draw_samples(5)}, batch=4)["logits"].shape == (5, CLASSES)

    def test_several_inputs_and_outputs(self, opened: Open) -> None:
        outputs = opened(two_inputs("n", "n")).predict(
            {"left": draw_samples(7), "right": draw_samples(7), "labels": draw_samples(7)}
        )
        assert {name: (values.shape, values.dtype.name) for name, values in outputs.items()} == {
            "total": ((7, INPUTS), "float32"),
            "largest": ((7,), "int64"),
        }

    def test_a_missing_input(self, opened: Open) -> None:
        session = opened(two_inputs("n", "n"))
        with pytest.raises(BuildFailed, match="'right' is not among the samples"):
            session.predict({"left": draw_samples(4)})
        with pytest.raises(BuildFailed, match="right"):
            session.run({"left": draw_samples(4)})

    @pytest.mark.parametrize("workers", [2, 4])
    def test_several_threads_answer_as_one(self, opened: Open, workers: int) -> None:
        session = opened(classifier("n"))
        alone = session.predict({"x": draw_samples(64)}, batch=3)
        together = session.predict({"x": draw_samples(64)}, batch=3, workers=workers)
        np.testing.assert_array_equal(together["logits"], alone["logits"])

    def test_a_file_opened_again_answers_the_same(self, save: Save) -> None:
        path = save(classifier("n"))
        answers = []
        for _ in range(2):
            session = self.kind().open(path)
            answers.append(session.predict({"x": draw_samples(8)}, batch=4)["logits"])
            session.close()
        np.testing.assert_array_equal(answers[0], answers[1])

    def test_a_run_takes_time(self, opened: Open) -> None:
        assert opened(classifier("n")).time_ms({"x": draw_samples(1)}) > 0

    def test_more_threads(self, save: Save) -> None:
        session = self.kind().open(save(classifier("n")), threads=2)
        assert session.predict({"x": draw_samples(3)})["logits"].shape == (3, CLASSES)
        session.close()

    def test_closing_twice_is_harmless(self, opened: Open) -> None:
        session = opened(classifier("n"))
        session.close()
        session.close()

    @pytest.mark.parametrize("content", [b"", b"not a model", bytes(1000)])
    def test_a_file_that_is_no_model(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        with pytest.raises(BuildFailed, match="model"):
            self.kind().open(path)

    def test_a_file_that_ends_too_early(self, save: Save) -> None:
        path = save(classifier("n"))
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(BuildFailed):
            self.kind().open(path)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(BuildFailed, match=r"none\.onnx"):
            self.kind().open(tmp_path / "none.onnx")

    @pytest.mark.parametrize("make", [unknown_operator, unknown_domain])
    def test_an_unknown_operator(self, save: Save, make: Callable[[], onnx.ModelProto]) -> None:
        with pytest.raises(CandidateError, match=r"NoSuchOp|my\.domain|Strange"):
            self.kind().open(save(make()))


class ExactRuntimeConformance(RuntimeConformance):
    """What a runtime promises that computes what NumPy does."""

    @pytest.mark.parametrize("make", [lambda: classifier("n"), lambda: classifier(4), single_sample])
    @pytest.mark.parametrize("batch", [1, 3, 100])
    def test_it_computes(self, opened: Open, make: Callable[[], onnx.ModelProto], batch: int) -> None:
        outputs = opened(make()).predict({"x": draw_samples(10)}, batch=batch, workers=2)
        np.testing.assert_array_equal(outputs["logits"], draw_samples(10) @ WEIGHT)

    def test_it_computes_with_several_inputs(self, opened: Open) -> None:
        left, right = draw_samples(6), draw_samples(6, seed=1)
        outputs = opened(two_inputs(4, "n")).predict({"left": left, "right": right})
        np.testing.assert_array_equal(outputs["total"], left + right)
        np.testing.assert_array_equal(outputs["largest"], (left + right).argmax(axis=1))
