"""Runtimes: the conformance suite, and what ONNX Runtime and the modelled one add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fake_tensorrt import FakeCuda
from needs_gpu import on_a_gpu
from onnx import TensorProto
from onnx_builder import Builder

from evaluators.measuring.latency import SETTLE_MS
from evaluators.runtimes import RUNTIMES, NullRuntime, OnnxRuntime, OpenVino, Session, TensorRtRuntime
from evaluators.runtimes.onnxruntime import SPIN_US
from evaluators.testing.runtimes import (
    CLASSES,
    INPUTS,
    ExactRuntimeConformance,
    Floats,
    Open,
    RuntimeConformance,
    Save,
    classifier,
    draw_samples,
    unknown_domain,
    unknown_operator,
)
from hwprofiles import probe
from hwprofiles.errors import BuildFailed, UnsupportedOp


class TestOnnxRuntime(ExactRuntimeConformance):
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
        [draw_samples(2).astype(np.float64), draw_samples(2)[:, :5], draw_samples(2)[None]],
        ids=["type", "size", "rank"],
    )
    def test_an_input_that_does_not_fit(self, opened: Open, x: Floats) -> None:
        with pytest.raises(BuildFailed, match="refused an input"):
            opened(classifier("n")).run({"x": x})

    @pytest.mark.parametrize("make", [unknown_operator, unknown_domain])
    def test_an_unknown_operator_is_unsupported(self, save: Save, make: Callable[[], onnx.ModelProto]) -> None:
        with pytest.raises(UnsupportedOp):
            OnnxRuntime().open(save(make()))

    def test_an_operator_without_a_kernel_is_unsupported(self, save: Save) -> None:
        builder = Builder()
        x = builder.input("x", ["n", 4], TensorProto.UINT16)
        builder.op("BitShift", x, builder.const([1, 1, 1, 1], np.uint16), direction="LEFT", out="y")
        builder.output("y", TensorProto.UINT16, ["n", 4])
        with pytest.raises(UnsupportedOp, match="BitShift"):
            OnnxRuntime().open(save(builder.model()))


class TestOpenVino(ExactRuntimeConformance):
    kind = OpenVino

    def test_the_version_is_the_packages(self) -> None:
        assert OpenVino().version() == probe.package_version("openvino")


class TestTensorRtOnStandIns(RuntimeConformance):
    """Our side of TensorRT; its own side is ONNX Runtime in disguise."""

    kind = TensorRtRuntime

    @pytest.fixture(autouse=True)
    def _gpu(self, gpu: FakeCuda) -> None:
        """Before all else, and gone after all else."""

    @pytest.mark.parametrize("make", [unknown_operator, unknown_domain])
    def test_an_unknown_operator_is_unsupported(self, save: Save, make: Callable[[], onnx.ModelProto]) -> None:
        with pytest.raises(UnsupportedOp):
            TensorRtRuntime().open(save(make()))


# Before any file the device is looked for: where there is none, each test below meets that error, and no other.


@on_a_gpu("tensorrt", but=("test_it_is_registered_under_its_name",))
class TestTensorRtHere(RuntimeConformance):
    kind = TensorRtRuntime


class OnnxRuntimeOnCuda(OnnxRuntime):
    def __init__(self) -> None:
        super().__init__("cuda")


@on_a_gpu("onnxruntime:cuda", but=("test_it_is_registered_under_its_name", "test_the_version"))
class TestOnnxRuntimeOnCudaHere(RuntimeConformance):
    kind = OnnxRuntimeOnCuda

    def test_it_is_registered_under_its_name(self) -> None:
        assert RUNTIMES[self.kind.name] is OnnxRuntime


class OnnxRuntimeOnTensorRt(OnnxRuntime):
    def __init__(self) -> None:
        super().__init__("tensorrt")


@on_a_gpu("onnxruntime:tensorrt", but=("test_it_is_registered_under_its_name", "test_the_version"))
class TestOnnxRuntimeOnTensorRtHere(RuntimeConformance):
    kind = OnnxRuntimeOnTensorRt

    def test_it_is_registered_under_its_name(self) -> None:
        assert RUNTIMES[self.kind.name] is OnnxRuntime


class TestNullRuntime(RuntimeConformance):
    kind = NullRuntime

    def test_times_repeat(self, save: Save) -> None:
        path = save(classifier("n"))

        def times() -> list[float]:
            session = NullRuntime().open(path)
            return [session.time_ms({"x": draw_samples(1)}) for _ in range(20)]

        assert times() == times()
        assert len(set(times())) == 20

    def test_a_larger_file_is_slower(self, save: Save) -> None:
        def time_ms(rows: int) -> float:
            builder = Builder()
            builder.op("MatMul", builder.input("x", ["n", rows]), builder.weight(rows, 100), out="y")
            builder.output("y", shape=["n", 100])
            session = NullRuntime().open(save(builder.model()))
            return float(np.median([session.time_ms({}) for _ in range(20)]))

        assert time_ms(10) < time_ms(1000) < time_ms(4000)

    def test_other_weights_answer_otherwise(self, save: Save) -> None:
        def answer(seed: int) -> Floats:
            builder = Builder(seed=seed)
            builder.op("MatMul", builder.input("x", ["n", INPUTS]), builder.weight(INPUTS, CLASSES), out="y")
            builder.output("y", shape=["n", CLASSES])
            found: Floats = (
                NullRuntime().open(save(builder.model())).run({"x": draw_samples(2)})["y"].astype(np.float32)
            )
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
    def save(self, tmp_path: Path) -> Save:
        def write(model: onnx.ModelProto) -> Path:
            onnx.save(model, tmp_path / "model.onnx")
            return tmp_path / "model.onnx"

        return write

    @pytest.fixture
    def session(self, save: Save) -> Iterator[Session]:
        session = OnnxRuntime().open(save(scaled().model()))
        yield session
        session.close()

    def test_a_batch_shares_what_all_of_its_samples_have(self, session: Session) -> None:
        feeds = session.batches({"x": draw_samples(5), "sr": np.full(5, 3)}, 4)
        assert [(feed["x"].shape, feed["sr"].shape, feed["sr"].dtype) for feed in feeds] == [
            ((4, INPUTS), (), np.int64),
            ((1, INPUTS), (), np.int64),
        ]
        found = session.predict({"x": draw_samples(5), "sr": np.full(5, 3)}, batch=4)
        np.testing.assert_array_equal(found["y"], draw_samples(5) * 3)

    def test_samples_that_differ_are_inferred_alone(self, session: Session) -> None:
        rates = np.arange(5)
        assert session.samples_at_once({"x": draw_samples(5), "sr": rates}, 4) == 1
        found = session.predict({"x": draw_samples(5), "sr": rates}, batch=4)
        np.testing.assert_array_equal(found["y"], draw_samples(5) * rates[:, None])

    def test_a_fixed_batch_over_which_they_differ_is_refused(self, save: Save) -> None:
        session = OnnxRuntime().open(save(scaled(2).model()))
        with pytest.raises(BuildFailed, match="scalar input 'sr' differs"):
            session.batches({"x": draw_samples(4), "sr": np.arange(4)}, 1)
        assert session.predict({"x": draw_samples(4), "sr": np.full(4, 2)})["y"].shape == (4, INPUTS)
        session.close()

    def test_nothing_but_scalars(self, save: Save) -> None:
        builder = Builder()
        builder.op("Mul", builder.input("a", []), builder.input("b", []), out="y")
        builder.output("y", shape=[])
        session = OnnxRuntime().open(save(builder.model()))
        row = np.arange(3, dtype=np.float32)
        np.testing.assert_array_equal(session.predict({"a": row, "b": row}, batch=2)["y"], row * row)
        session.close()
