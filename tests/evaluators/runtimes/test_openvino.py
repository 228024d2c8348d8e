"""OpenVINO beyond what every runtime promises: shapes, precisions, and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx_builder import Builder

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.quantize import Quantizer, Scheme
from evaluators.quantize.calibration import calibrate
from evaluators.runtimes import OpenVino
from evaluators.runtimes.openvino import _core, _library
from hwprofiles import Precision
from hwprofiles.errors import BuildFailed, DeviceUnavailable, UnsupportedOp

ROOT = Path(__file__).parents[3]

Floats = NDArray[np.float32]
Save = Callable[[onnx.ModelProto], Path]

INPUTS, CLASSES = 8, 3
WEIGHT = (np.arange(INPUTS * CLASSES).reshape(INPUTS, CLASSES) % 7 - 3).astype(np.float32)


def classifier() -> onnx.ModelProto:
    """``logits = x @ WEIGHT``."""
    builder = Builder()
    builder.op("MatMul", builder.input("x", ["n", INPUTS]), builder.const(WEIGHT), out="logits")
    builder.output("logits", shape=["n", CLASSES])
    return builder.model()


def product(batch: int | str) -> onnx.ModelProto:
    builder = Builder()
    builder.op("MatMul", builder.input("x", [batch, 64]), builder.weight(64, 64), out="y")
    builder.output("y", shape=[batch, 64])
    return builder.model()


def samples(count: int, *, seed: int = 0) -> Floats:
    """Small whole numbers: sums of them are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, (count, INPUTS)).astype(np.float32)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(model: onnx.ModelProto) -> Path:
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return path

    return write


def test_fp32_is_fp32_unless_asked_otherwise() -> None:
    assert OpenVino().hint == "f32"


def test_any_number_of_shapes(save: Save) -> None:
    """Also of more than it compiles a graph for, and of the first again."""
    session = OpenVino().open(save(classifier()))
    for count in (1, 2, 3, 4, 5, 6, 7, 1, 6):
        found = session.run({"x": samples(count)})
        np.testing.assert_array_equal(found["logits"], samples(count) @ WEIGHT)


def test_answers_stay_when_it_runs_again(save: Save) -> None:
    session = OpenVino().open(save(classifier()))
    first = session.run({"x": samples(2)})["logits"]
    session.run({"x": samples(2, seed=1)})
    np.testing.assert_array_equal(first, samples(2) @ WEIGHT)


@pytest.mark.parametrize(
    "x",
    [samples(2).astype(np.float64), samples(2)[:, :5], samples(2)[None]],
    ids=["type", "size", "rank"],
)
def test_an_input_that_does_not_fit(save: Save, x: Floats) -> None:
    with pytest.raises(BuildFailed, match="refused an input"):
        OpenVino().open(save(classifier())).run({"x": x})


def test_a_closed_session(save: Save) -> None:
    session = OpenVino().open(save(classifier()))
    session.close()
    with pytest.raises(BuildFailed, match="closed"):
        session.run({"x": samples(1)})


def test_other_formats_than_onnx_are_not_tried(tmp_path: Path) -> None:
    openvino = _library()
    path = tmp_path / "model.xml"
    parameter = openvino.opset1.parameter([1, 4], np.float32, name="x")
    openvino.save_model(openvino.Model([openvino.opset1.relu(parameter)], [parameter]), path)
    disguised = path.rename(tmp_path / "model.onnx")
    with pytest.raises(BuildFailed):
        OpenVino().open(disguised)


def test_a_lower_precision_is_another_answer(save: Save) -> None:
    if "BF16" not in capabilities():
        pytest.skip("this processor does not compute in bf16")
    path, x = save(product("n")), np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    exact, rounded = (OpenVino(hint).open(path).run({"x": x})["y"] for hint in ("f32", "bf16"))
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(rounded, exact, atol=0.05 * np.abs(exact).max())


def test_a_precision_that_the_processor_lacks_is_refused(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        available_devices = ("CPU",)

        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["FP32", "INT8"]

    monkeypatch.setattr("evaluators.runtimes.openvino._core", Core)
    with pytest.raises(UnsupportedOp, match="bf16 on this CPU"):
        OpenVino("bf16").open(save(classifier()))


def test_a_gpu_that_is_not_there(save: Save) -> None:
    if "GPU" in _core().available_devices:
        pytest.skip("there is one")
    with pytest.raises(DeviceUnavailable, match="no GPU"):
        OpenVino("gpu-f16").open(save(classifier()))


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    _library.cache_clear()
    with pytest.raises(DeviceUnavailable) as raised:
        OpenVino().version()
    assert "pip install 'paretune[openvino]'" in raised.value.hint
    monkeypatch.undo()
    assert OpenVino().version()


def test_integers_are_computed_on_integers(save: Save) -> None:
    plain = clean_graph(product(16))
    scheme = Scheme(activation_type="int8", symmetric_activations=True)
    feed = {"x": np.random.default_rng(0).standard_normal((16, 64)).astype(np.float32)}
    groups = layer_groups(plain)
    quantized = Quantizer(plain, groups, calibrate(plain, [feed]), scheme).apply({groups[0].name: Precision.INT8})
    path = save(plain)
    before = OpenVino().time_nodes(path, feed, runs=2)
    onnx.save(quantized, path)
    after = OpenVino().time_nodes(path, feed, runs=2)
    assert [node.provider[-3:] for node in before if node.operator.startswith("FullyConnected")] == ["f32"]
    assert [node.provider[-2:] for node in after if node.operator.startswith("FullyConnected")] == ["i8"]
    assert all(node.ms >= 0 for node in (*before, *after))


@pytest.mark.parametrize("threads", [1, 2])
def test_it_stays_on_the_process_s_cores_and_reports_nothing(save: Save, threads: int) -> None:
    """In a process of its own: the library looks at the cores once. Importing it would report to its maker."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < threads:
        pytest.skip("fewer cores")
    program = """
import os, sys
from pathlib import Path
threads, path, cores = int(sys.argv[1]), Path(sys.argv[2]), {int(core) for core in sys.argv[3:]}
os.sched_setaffinity(0, cores)
import numpy
before = set(os.listdir("/proc/self/task"))
from evaluators.runtimes.openvino import OpenVino
session = OpenVino().open(path, threads=threads)
for _ in range(20):
    session.time_ms({"x": numpy.zeros((4, 8), numpy.float32)})
for task in set(os.listdir("/proc/self/task")) - before:
    assert os.sched_getaffinity(int(task)) <= cores, task
assert session._bound[1].get_compiled_model().get_property("INFERENCE_NUM_THREADS") == threads
assert "openvino_telemetry" not in sys.modules
assert not os.path.exists(os.path.expanduser("~/intel"))
"""
    arguments = [str(threads), str(save(classifier())), *map(str, usable[-threads:])]
    environment = {**os.environ, "HOME": str(Path(arguments[1]).parent)}
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


def capabilities() -> list[str]:
    found: list[str] = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found
