"""Measuring any ONNX model: what is measured, on what inputs, and what is said about it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from inline_search import measuring_briefly
from onnx_builder import Builder
from small_jobs import classifier

from evaluators.health import VERDICTS
from evaluators.measuring.throughput import Load
from evaluators.tensors import TensorSpec
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import digest_of_file, find_device
from hwprofiles.errors import DeviceUnavailable, InvalidInput, ParetuneError
from search.analysis.profiled_models import random_inputs
from search.analysis.profiling import profile_model


def silent(text: str) -> None:
    pass


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(classifier(1), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice(lambda path: 2.0)
    monkeypatch.setattr("search.analysis.profiling.open_device", lambda profile: fake)
    return fake


def test_a_model_alone_on_this_machine(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measuring_briefly(monkeypatch)
    told: list[str] = []
    found = profile_model(model, None, find_device("local-cpu"), told.append)
    assert found["model"] == str(model)
    assert (found["device"], found["profile_digest"]) == ("local-cpu", find_device("local-cpu").digest)
    assert found["latency_ms"]["p50"] > 0
    assert found["latency_ms"]["n"] > 0
    assert found["size_bytes"] == model.stat().st_size
    assert found["peak_memory_bytes"] > 0
    assert {one["operator"]: one["count"] for one in found["operators"]} == {"MatMul": 2, "Add": 1, "Relu": 1}
    assert not {"speedup", "against", "baseline", "throughput"} & set(found)
    assert found["health"]["verdict"] in VERDICTS
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert told == ["measuring latency", "measuring memory", "timing each node"]
    assert {layer["operator"] for layer in found["layers"]} <= {"MatMul", "Add", "Relu", "FusedMatMul", "FusedGemm"}
    assert all(layer["provider"] == "CPUExecutionProvider" for layer in found["layers"])
    assert sum(layer["share"] for layer in found["layers"]) == pytest.approx(1, abs=1e-4)


def test_a_model_against_another(model: Path, tmp_path: Path, device: FakeDevice) -> None:
    onnx.save(classifier(3), tmp_path / "larger.onnx")
    found = profile_model(model, tmp_path / "larger.onnx", find_device("local-cpu"), silent)
    assert found["speedup"] == {"ratio": 2.0, "ci95": [1.98, 2.02]}
    assert found["against"] == str(tmp_path / "larger.onnx")
    assert found["baseline"]["latency_ms"]["p50"] == 1.0
    (request,) = device.requests
    assert (request.baseline, request.candidate) == (tmp_path / "larger.onnx", model)


def test_its_throughput(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measuring_briefly(monkeypatch)
    load = Load(streams=2, window_s=0.01, min_pairs=3, max_s=0.0, usable_width=math.inf, attempts=1)
    found = profile_model(model, None, find_device("local-cpu"), silent, load=load)["throughput"]
    assert found["streams"] == 2
    assert found["per_s"] > 0
    assert found["health"] in VERDICTS


def test_a_model_alone_is_measured_against_itself(model: Path, device: FakeDevice) -> None:
    profile_model(model, None, find_device("local-cpu"), silent)
    (request,) = device.requests
    assert request.baseline == request.candidate == model


def two_inputs(first: str, second: str, path: Path) -> Path:
    builder = Builder(17)
    wide, narrow = builder.input(first, ["n", 16]), builder.input(second, ["n", 4])
    builder.op("Add", builder.op("MatMul", wide, builder.weight(16, 4)), narrow, out="sum")
    builder.output("sum")
    onnx.save(builder.model(), path)
    return path


class TestTwoModels:
    """Any two models whose inputs have the same types and shapes."""

    def test_of_other_names(self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        measuring_briefly(monkeypatch)
        onnx.save(classifier(3, input_name="image", batch=2), tmp_path / "larger.onnx")
        found = profile_model(model, tmp_path / "larger.onnx", find_device("local-cpu"), silent)
        assert found["matched_inputs"] == {"x": "image"}
        assert found["speedup"]["ratio"] > 0
        assert (found["runtime"]["name"], found["against_runtime"]["name"]) == ("onnxruntime", "onnxruntime")

    def test_names_count_before_positions(self, tmp_path: Path, device: FakeDevice) -> None:
        ours, theirs = two_inputs("a", "b", tmp_path / "ours.onnx"), tmp_path / "theirs.onnx"
        swapped = onnx.load(ours)
        swapped.graph.input.append(swapped.graph.input.pop(0))
        onnx.save(swapped, theirs)
        assert profile_model(ours, theirs, find_device("local-cpu"), silent)["matched_inputs"] == {}

    def test_one_name_for_two_inputs(self, tmp_path: Path, device: FakeDevice) -> None:
        ours, theirs = two_inputs("a", "b", tmp_path / "ours.onnx"), two_inputs("b", "c", tmp_path / "theirs.onnx")
        with pytest.raises(InvalidInput, match="the input 'b' is another one in each model"):
            profile_model(ours, theirs, find_device("local-cpu"), silent)


class TestRuntimes:
    def test_a_bundle_runs_where_it_was_exported_for(self, model: Path, tmp_path: Path, device: FakeDevice) -> None:
        bundle = tmp_path / "bundle"
        bundle.mkdir()
        (bundle / "model.onnx").write_bytes(model.read_bytes())
        manifest = {"model_sha256": digest_of_file(model), "runtime": {"name": "onnxruntime", "version": "1"}}
        (bundle / "manifest.json").write_text(json.dumps(manifest))
        for place in (bundle, bundle / "model.onnx"):
            found = profile_model(place, model, find_device("local-cpu"), silent)
            assert (found["runtime"]["by_bundle"], found["against_runtime"]["by_bundle"]) == (True, False)
            assert device.requests[-1].runtime == "onnxruntime"
        (bundle / "manifest.json").write_text(json.dumps(manifest | {"model_sha256": "0"}))
        assert not profile_model(bundle, None, find_device("local-cpu"), silent)["runtime"]["by_bundle"]

    def test_in_openvino(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("openvino")
        measuring_briefly(monkeypatch)
        found = profile_model(model, model, find_device("local-cpu"), silent, runtime="openvino:f32")
        assert (found["runtime"]["name"], found["against_runtime"]["name"]) == ("openvino:f32", "onnxruntime")
        assert found["layers"]
        assert not {finding["kind"] for finding in found["findings"]} & {"other_operators"}


class TestInputs:
    @pytest.mark.parametrize("batch", [1, 7])
    def test_an_open_batch_is_the_devices(self, model: Path, device: FakeDevice, batch: int) -> None:
        profile_model(model, None, find_device("local-cpu", 1, batch), silent)
        assert device.requests[0].sample["x"].shape == (batch, 16)

    def test_a_fixed_batch_stays(self, tmp_path: Path, device: FakeDevice) -> None:
        onnx.save(classifier(1, batch=3), tmp_path / "fixed.onnx")
        profile_model(tmp_path / "fixed.onnx", None, find_device("local-cpu", 1, 7), silent)
        assert device.requests[0].sample["x"].shape == (3, 16)

    def test_shapes_and_types(self) -> None:
        specs = (
            TensorSpec("image", "float32", (None, 3, None, 32)),
            TensorSpec("half", "float16", (2, 2)),
            TensorSpec("ids", "int64", (None, None)),
            TensorSpec("mask", "bool", (None, 4)),
            TensorSpec("step", "int32", ()),
        )
        found = random_inputs(specs, 5)
        assert {name: (values.shape, values.dtype.name) for name, values in found.items()} == {
            "image": ((5, 3, 8, 32), "float32"), "half": ((2, 2), "float16"), "ids": ((5, 8), "int64"),
            "mask": ((5, 4), "bool"), "step": ((), "int32"),
        }  # fmt: skip
        assert found["image"].std() > 0.5
        assert not found["ids"].any()
        again = random_inputs(specs, 5)
        assert all(np.array_equal(found[name], again[name]) for name in found)


class TestRefusing:
    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="no model file"):
            profile_model(tmp_path / "nowhere.onnx", None, find_device("local-cpu"), silent)

    def test_a_second_file_that_is_missing(self, model: Path, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="no model file"):
            profile_model(model, tmp_path / "nowhere.onnx", find_device("local-cpu"), silent)

    def test_two_models_of_other_inputs(self, model: Path, tmp_path: Path) -> None:
        two_inputs("y", "z", tmp_path / "other.onnx")
        with pytest.raises(InvalidInput) as caught:
            profile_model(model, tmp_path / "other.onnx", find_device("local-cpu"), silent)
        assert "'y' (float32 ?×16), 'z' (float32 ?×4)" in caught.value.message
        assert "'x' (float32 ?×16)" in caught.value.message
        assert "number, types and shapes" in caught.value.hint

    @pytest.mark.parametrize(
        ("runtime", "message", "hint"),
        [
            ("openvin", "unknown runtime 'openvin'", "did you mean 'openvino'?"),
            ("openvino:bf61", "no hint 'bf61'", "did you mean 'bf16'?"),
            ("null", "executes nothing", "--runtime onnxruntime"),
        ],
    )
    def test_runtimes_that_are_none(self, model: Path, runtime: str, message: str, hint: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            profile_model(model, None, find_device("local-cpu"), silent, runtime=runtime)
        assert message in caught.value.message
        assert hint in caught.value.hint

    def test_a_runtime_of_no_second_model(self, model: Path) -> None:
        with pytest.raises(InvalidInput, match="there is no second model"):
            profile_model(model, None, find_device("local-cpu"), silent, against_runtime="onnxruntime")

    def test_the_modelled_device(self, model: Path) -> None:
        with pytest.raises(DeviceUnavailable, match="so it cannot be measured"):
            profile_model(model, None, find_device("dry-run"), silent)

    def test_a_model_that_does_not_run(self, tmp_path: Path) -> None:
        """Rows of eight, which stands for the open dimension, do not go into rows of three."""
        builder = Builder(17)
        x = builder.input("x", ["n", "m"])
        builder.op("MatMul", x, builder.weight(3, 4), out="y")
        builder.output("y")
        onnx.save(builder.model(), tmp_path / "model.onnx")
        with pytest.raises(ParetuneError) as caught:
            profile_model(tmp_path / "model.onnx", None, find_device("local-cpu"), silent)
        assert caught.value.exit_code == 4
        assert f"{tmp_path / 'model.onnx'} cannot be measured" in caught.value.message
        assert "\n" not in caught.value.message
        assert caught.value.hint
