"""What every runtime promises, and what ONNX Runtime and the modelled one add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from fake_tensorrt import FakeCuda
from needs_gpu import on_a_gpu
from numpy.typing import NDArray
from onnx import TensorProto
from onnx_builder import Builder, Dim

from evaluators.measuring.latency import SETTLE_MS
from evaluators.runtimes import RUNTIMES, NullRuntime, OnnxRuntime, OpenVino, Runtime, Session, TensorRtRuntime
from evaluators.runtimes.onnxruntime import SPIN_US
from hwprofiles import probe
from hwprofiles.errors import BuildFailed, CandidateError, UnsupportedOp

Floats = NDArray[np.float32]
Save = Callable[[Builder], Path]

INPUTS, CLASSES = 8, 3
WEIGHT = (np.arange(INPUTS * CLASSES).reshape(INPUTS, CLASSES) % 7 - 3).astype(np.float32)


def classifier(batch: Dim) -> Builder:
    """``logits = x @ WEIGHT``."""
    builder = Builder()
    builder.op("MatMul", builder.input("x", [batch, INPUTS]), builder.const(WEIGHT), out="logits")
    builder.output("logits", shape=[batch, CLASSES])
    return builder


def single() -> Builder:
    """Takes one sample, without a batch axis."""
    builder = Builder()
    builder.op("MatMul", builder.input("x", [INPUTS]), builder.const(WEIGHT), out="logits")
    builder.output("logits", shape=[CLASSES])
    return builder


def two_inputs(first: Dim, second: Dim) -> Builder:
    """``total = left + right``, and ``largest``, where it is largest."""
    builder = Builder()
    left, right = builder.input("left", [first, INPUTS]), builder.input("right", [second, INPUTS])
    builder.op("Add", left, right, out="total")
    builder.op("ArgMax", "total", out="largest", axis=1, keepdims=0)
    batch = first if isinstance(first, int) else second
    builder.output("total", shape=[batch, INPUTS])
    builder.output("largest", TensorProto.INT64, [batch])
    return builder


def unknown_operator() -> Builder:
    builder = Builder()
    builder.op("NoSuchOp", builder.input("x", ["n", INPUTS]), out="y")
    builder.output("y", shape=["n", INPUTS])
    return builder


def unknown_domain() -> Builder:
    builder = Builder()
    builder.op("Strange", builder.input("x", ["n", INPUTS]), domain="my.domain", out="y")
    builder.output("y", shape=["n", INPUTS])
    return builder


def samples(count: int, *, seed: int = 0) -> Floats:
    """Small whole numbers: sums of them are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, (count, INPUTS)).astype(np.float32)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(builder: Builder) -> Path:
        path = tmp_path / "model.onnx"
        onnx.save(builder.model(), path)
        return path

    return write


class RuntimeContract:
    """A new runtime subclasses this."""

    kind: ClassVar[type[Runtime]]

    @pytest.fixture
    def opened(self, save: Save) -> Iterator[Callable[[Builder], Session]]:
        sessions: list[Session] = []

        def open_it(builder: Builder) -> Session:
            sessions.append(self.kind().open(save(builder)))
            return sessions[-1]

        yield open_it
        for session in sessions:
            session.close()

    def test_it_is_registered_under_its_name(self) -> None:
        assert RUNTIMES[self.kind.name] is self.kind

    def test_the_version(self) -> None:
        assert self.kind().version() == self.kind().version()
        assert self.kind().version()

    def test_inputs_and_outputs_are_described(self, opened: Callable[[Builder], Session]) -> None:
        session = opened(two_inputs("n", "n"))
        assert [(spec.name, spec.dtype, spec.shape) for spec in session.inputs] == [
            ("left", "float32", (None, INPUTS)),
            ("right", "float32", (None, INPUTS)),
        ]
        assert [(spec.name, spec.dtype, spec.shape) for spec in session.outputs] == [
            ("total", "float32", (None, INPUTS)),
            ("largest", "int64", (None,)),
        ]

    def test_a_fixed_batch_is_described(self, opened: Callable[[Builder], Session]) -> None:
        assert opened(classifier(4)).inputs[0].shape == (4, INPUTS)

    @pytest.mark.parametrize(("count", "batch"), [(1, 1), (10, 1), (10, 4), (10, 10), (10, 64)])
    def test_predictions_have_a_row_for_each_sample(
        self, opened: Callable[[Builder], Session], count: int, batch: int
    ) -> None:
        found = opened(classifier("n")).predict({"x": samples(count)}, batch=batch)
        assert list(found) == ["logits"]
        assert (found["logits"].shape, found["logits"].dtype) == ((count, CLASSES), np.float32)

    @pytest.mark.parametrize("count", [1, 4, 5, 8])
    def test_a_fixed_batch_is_filled_up(self, opened: Callable[[Builder], Session], count: int) -> None:
        session = opened(classifier(4))
        assert {len(feed["x"]) for feed in session.batches({"x": samples(count)}, 1)} == {4}
        assert session.predict({"x": samples(count)}, batch=1)["logits"].shape == (count, CLASSES)

    def test_one_fixed_batch_holds_for_all_inputs(self, opened: Callable[[Builder], Session]) -> None:
        session = opened(two_inputs(4, "n"))
        found = session.predict({"left": samples(6), "right": samples(6)}, batch=1)
        assert found["total"].shape == (6, INPUTS)

    def test_a_model_without_a_batch_axis(self, opened: Callable[[Builder], Session]) -> None:
        session = opened(single())
        assert session.batches({"x": samples(5)}, 4)[0]["x"].shape == (INPUTS,)
        assert session.predict({"x": samples(5)}, batch=4)["logits"].shape == (5, CLASSES)

    def test_several_inputs_and_outputs(self, opened: Callable[[Builder], Session]) -> None:
        found = opened(two_inputs("n", "n")).predict({"left": samples(7), "right": samples(7), "labels": samples(7)})
        assert {name: (values.shape, values.dtype) for name, values in found.items()} == {
            "total": ((7, INPUTS), np.float32),
            "largest": ((7,), np.int64),
        }

    def test_a_missing_input(self, opened: Callable[[Builder], Session]) -> None:
        session = opened(two_inputs("n", "n"))
        with pytest.raises(BuildFailed, match="'right' is not among the samples"):
            session.predict({"left": samples(4)})
        with pytest.raises(BuildFailed, match="right"):
            session.run({"left": samples(4)})

    @pytest.mark.parametrize("workers", [2, 4])
    def test_several_threads_answer_as_one(self, opened: Callable[[Builder], Session], workers: int) -> None:
        session = opened(classifier("n"))
        alone = session.predict({"x": samples(64)}, batch=3)
        together = session.predict({"x": samples(64)}, batch=3, workers=workers)
        np.testing.assert_array_equal(together["logits"], alone["logits"])

    def test_a_file_opened_again_answers_the_same(self, save: Save) -> None:
        path = save(classifier("n"))
        answers = []
        for _ in range(2):
            session = self.kind().open(path)
            answers.append(session.predict({"x": samples(8)}, batch=4)["logits"])
            session.close()
        np.testing.assert_array_equal(*answers)

    def test_a_run_takes_time(self, opened: Callable[[Builder], Session]) -> None:
        assert opened(classifier("n")).time_ms({"x": samples(1)}) > 0

    def test_more_threads(self, save: Save) -> None:
        session = self.kind().open(save(classifier("n")), threads=2)
        assert session.predict({"x": samples(3)})["logits"].shape == (3, CLASSES)
        session.close()

    def test_closing_twice_is_harmless(self, opened: Callable[[Builder], Session]) -> None:
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
    def test_an_unknown_operator(self, save: Save, make: Callable[[], Builder]) -> None:
        with pytest.raises(CandidateError, match=r"NoSuchOp|my\.domain|Strange"):
            self.kind().open(save(make()))


class ExactContract(RuntimeContract):
    """Of a runtime that computes here what NumPy does."""

    @pytest.mark.parametrize("make", [lambda: classifier("n"), lambda: classifier(4), single])
    @pytest.mark.parametrize("batch", [1, 3, 100])
    def test_it_computes(self, opened: Callable[[Builder], Session], make: Callable[[], Builder], batch: int) -> None:
        found = opened(make()).predict({"x": samples(10)}, batch=batch, workers=2)
        np.testing.assert_array_equal(found["logits"], samples(10) @ WEIGHT)

    def test_it_computes_with_several_inputs(self, opened: Callable[[Builder], Session]) -> None:
        left, right = samples(6), samples(6, seed=1)
        found = opened(two_inputs(4, "n")).predict({"left": left, "right": right})
        np.testing.assert_array_equal(found["total"], left + right)
        np.testing.assert_array_equal(found["largest"], (left + right).argmax(axis=1))


class TestOnnxRuntime(ExactContract):
    kind = OnnxRuntime

    def test_the_version_is_the_packages(self) -> None:
        assert OnnxRuntime().version() == probe.package_version("onnxruntime")

    def test_threads_are_awake_between_inferences_and_sleep_soon_after_the_last(
        self, save: Save, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As they are where one process infers without pause; but two models are timed in turn."""
        import onnxruntime

        made: list[Any] = []
        real = onnxruntime.InferenceSession

        def session(path: str, options: Any, **others: Any) -> Any:
            made.append(options)
            return real(path, options, **others)

        monkeypatch.setattr(onnxruntime, "InferenceSession", session)
        OnnxRuntime().open(save(classifier("n")), threads=2).close()
        (options,) = made
        assert options.get_session_config_entry("session.intra_op.spin_duration_us") == str(SPIN_US)
        assert SPIN_US / 1000 < SETTLE_MS
        for stops in ("session.force_spinning_stop", "session.intra_op.allow_spinning"):
            with pytest.raises(RuntimeError):
                options.get_session_config_entry(stops)

    @pytest.mark.parametrize(
        "x",
        [samples(2).astype(np.float64), samples(2)[:, :5], samples(2)[None]],
        ids=["type", "size", "rank"],
    )
    def test_an_input_that_does_not_fit(self, opened: Callable[[Builder], Session], x: Floats) -> None:
        with pytest.raises(BuildFailed, match="refused an input"):
            opened(classifier("n")).run({"x": x})

    @pytest.mark.parametrize("make", [unknown_operator, unknown_domain])
    def test_an_unknown_operator_is_unsupported(self, save: Save, make: Callable[[], Builder]) -> None:
        with pytest.raises(UnsupportedOp):
            OnnxRuntime().open(save(make()))

    def test_an_operator_without_a_kernel_is_unsupported(self, save: Save) -> None:
        builder = Builder()
        x = builder.input("x", ["n", 4], TensorProto.UINT16)
        builder.op("BitShift", x, builder.const([1, 1, 1, 1], np.uint16), direction="LEFT", out="y")
        builder.output("y", TensorProto.UINT16, ["n", 4])
        with pytest.raises(UnsupportedOp, match="BitShift"):
            OnnxRuntime().open(save(builder))


class TestOpenVino(ExactContract):
    kind = OpenVino

    def test_the_version_is_the_packages(self) -> None:
        assert OpenVino().version() == probe.package_version("openvino")


class TestTensorRtOnStandIns(RuntimeContract):
    """Our side of TensorRT; its own side is ONNX Runtime in disguise."""

    kind = TensorRtRuntime

    @pytest.fixture(autouse=True)
    def _gpu(self, gpu: FakeCuda) -> None:
        """Before all else, and gone after all else."""

    @pytest.mark.parametrize("make", [unknown_operator, unknown_domain])
    def test_an_unknown_operator_is_unsupported(self, save: Save, make: Callable[[], Builder]) -> None:
        with pytest.raises(UnsupportedOp):
            TensorRtRuntime().open(save(make()))


# Before any file the device is looked for: where there is none, each test below meets that error, and no other.


@on_a_gpu("tensorrt", but=("test_it_is_registered_under_its_name",))
class TestTensorRtHere(RuntimeContract):
    kind = TensorRtRuntime


class OnnxRuntimeOnCuda(OnnxRuntime):
    def __init__(self) -> None:
        super().__init__("cuda")


@on_a_gpu("onnxruntime:cuda", but=("test_it_is_registered_under_its_name", "test_the_version"))
class TestOnnxRuntimeOnCudaHere(RuntimeContract):
    kind = OnnxRuntimeOnCuda

    def test_it_is_registered_under_its_name(self) -> None:
        assert RUNTIMES[self.kind.name] is OnnxRuntime


class OnnxRuntimeOnTensorRt(OnnxRuntime):
    def __init__(self) -> None:
        super().__init__("tensorrt")


@on_a_gpu("onnxruntime:tensorrt", but=("test_it_is_registered_under_its_name", "test_the_version"))
class TestOnnxRuntimeOnTensorRtHere(RuntimeContract):
    kind = OnnxRuntimeOnTensorRt

    def test_it_is_registered_under_its_name(self) -> None:
        assert RUNTIMES[self.kind.name] is OnnxRuntime


class TestNullRuntime(RuntimeContract):
    kind = NullRuntime

    def test_times_repeat(self, save: Save) -> None:
        path = save(classifier("n"))

        def times() -> list[float]:
            session = NullRuntime().open(path)
            return [session.time_ms({"x": samples(1)}) for _ in range(20)]

        assert times() == times()
        assert len(set(times())) == 20

    def test_a_larger_file_is_slower(self, save: Save) -> None:
        def time_ms(rows: int) -> float:
            builder = Builder()
            builder.op("MatMul", builder.input("x", ["n", rows]), builder.weight(rows, 100), out="y")
            builder.output("y", shape=["n", 100])
            session = NullRuntime().open(save(builder))
            return float(np.median([session.time_ms({}) for _ in range(20)]))

        assert time_ms(10) < time_ms(1000) < time_ms(4000)

    def test_other_weights_answer_otherwise(self, save: Save) -> None:
        def answer(seed: int) -> Floats:
            builder = Builder(seed=seed)
            builder.op("MatMul", builder.input("x", ["n", INPUTS]), builder.weight(INPUTS, CLASSES), out="y")
            builder.output("y", shape=["n", CLASSES])
            found: Floats = NullRuntime().open(save(builder)).run({"x": samples(2)})["y"].astype(np.float32)
            return found

        assert not np.array_equal(answer(1), answer(2))
        np.testing.assert_array_equal(answer(1), answer(1))


def scaled(batch: int | str = "n") -> Builder:
    """Rows times a scalar input, as a sampling rate is one."""
    builder = Builder()
    rate = builder.op("Cast", builder.input("sr", [], onnx.TensorProto.INT64), to=onnx.TensorProto.FLOAT)
    builder.op("Mul", builder.input("x", [batch, INPUTS]), rate, out="y")
    builder.output("y", shape=[batch, INPUTS])
    return builder


class TestScalarInputs:
    @pytest.fixture
    def session(self, save: Save) -> Iterator[Session]:
        session = OnnxRuntime().open(save(scaled()))
        yield session
        session.close()

    def test_a_batch_shares_what_all_of_its_samples_have(self, session: Session) -> None:
        feeds = session.batches({"x": samples(5), "sr": np.full(5, 3)}, 4)
        assert [(feed["x"].shape, feed["sr"].shape, feed["sr"].dtype) for feed in feeds] == [
            ((4, INPUTS), (), np.int64),
            ((1, INPUTS), (), np.int64),
        ]
        found = session.predict({"x": samples(5), "sr": np.full(5, 3)}, batch=4)
        np.testing.assert_array_equal(found["y"], samples(5) * 3)

    def test_samples_that_differ_are_inferred_alone(self, session: Session) -> None:
        rates = np.arange(5)
        assert session.samples_at_once({"x": samples(5), "sr": rates}, 4) == 1
        found = session.predict({"x": samples(5), "sr": rates}, batch=4)
        np.testing.assert_array_equal(found["y"], samples(5) * rates[:, None])

    def test_a_fixed_batch_over_which_they_differ_is_refused(self, save: Save) -> None:
        session = OnnxRuntime().open(save(scaled(2)))
        with pytest.raises(BuildFailed, match="scalar input 'sr' differs"):
            session.batches({"x": samples(4), "sr": np.arange(4)}, 1)
        assert session.predict({"x": samples(4), "sr": np.full(4, 2)})["y"].shape == (4, INPUTS)
        session.close()

    def test_nothing_but_scalars(self, save: Save) -> None:
        builder = Builder()
        builder.op("Mul", builder.input("a", []), builder.input("b", []), out="y")
        builder.output("y", shape=[])
        session = OnnxRuntime().open(save(builder))
        row = np.arange(3, dtype=np.float32)
        np.testing.assert_array_equal(session.predict({"a": row, "b": row}, batch=2)["y"], row * row)
        session.close()
