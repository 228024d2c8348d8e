"""TensorRT on stand-ins: what is built when, what is kept, what is refused, and what is timed."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_tensorrt
import numpy as np
import onnx
import pytest
from fake_tensorrt import FakeCuda, broken, calls
from onnx_builder import Builder, Dim
from stand_in_gpu import GPU, stand_in_gpu

from evaluators.runtimes import TensorRtRuntime, runtime_of, tensorrt_library, with_two_builds
from evaluators.runtimes.cuda import GpuLost
from evaluators.runtimes.engine_store import EngineStore
from evaluators.runtimes.tensorrt_engine import EngineBuilder, EngineOptions
from evaluators.runtimes.tensorrt_library import load_library, tensorrt_module
from evaluators.runtimes.tensorrt_session import TensorRtSession, layers_of
from hwprofiles.errors import BuildFailed, DeviceUnavailable, InvalidInput, OutOfMemory, UnsupportedOp
from hwprofiles.folders import cache_folder


def product(folder: Path, batch: Dim = "n", *, seed: int = 0, size: int = 4) -> Path:
    """``y = x @ weight``."""
    builder = Builder(seed=seed)
    builder.op("MatMul", builder.input("x", [batch, 8]), builder.weight(8, size), out="y")
    builder.output("y", shape=[batch, size])
    path = folder / f"product-{batch}-{seed}-{size}.onnx"
    onnx.save(builder.model(), path)
    return path


def rows(count: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(count).standard_normal((count, 8)).astype(np.float32)}


def opened(model: Path, hint: str = "") -> TensorRtSession:
    session = TensorRtRuntime(hint).open(model)
    assert isinstance(session, TensorRtSession)
    return session


def ran(model: Path, *counts: int, hint: str = "") -> list[str]:
    """What TensorRT was told to do while a model was opened and run on so many rows."""
    calls.clear()
    session = opened(model, hint)
    for count in counts:
        session.run(rows(count))
    session.close()
    return [call for call in calls if not call.startswith("timing")]


@pytest.mark.usefixtures("gpu")
class TestEngines:
    def test_a_fixed_model_is_built_when_it_is_opened_and_then_only_loaded(self, tmp_path: Path) -> None:
        model = product(tmp_path, 2)
        assert ran(model, 2, 2) == ["runtime", "parse", "build", "load"]
        assert ran(model, 2) == ["load"]
        load_library.cache_clear()  # as in another process
        assert ran(model, 2) == ["runtime", "load"]

    def test_open_shapes_are_built_for_when_they_are_known(self, tmp_path: Path) -> None:
        model = product(tmp_path)
        assert ran(model) == ["runtime", "parse"]
        assert ran(model, 4) == ["parse", "build", "load"]
        assert ran(model, 4) == ["load"]

    def test_smaller_batches_need_no_other_engine(self, tmp_path: Path) -> None:
        model = product(tmp_path)
        assert ran(model, 4, 3, 1, 4) == ["runtime", "parse", "build", "load"]
        assert ran(model, 1, 4) == ["parse", "build", "load", "load"]  # the first for one row

    @pytest.mark.parametrize("change", ["weights", "hint", "version", "gpu", "driver"])
    def test_an_engine_serves_nothing_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
        model = product(tmp_path, 2)
        assert "build" in ran(model)
        hint = "tf32" if change == "hint" else ""
        gpu = GPU
        if change == "weights":
            model = product(tmp_path, 2, seed=1)
        if change == "gpu":
            gpu = replace(GPU, compute_capability="9.0")
        if change == "driver":
            gpu = replace(GPU, driver="590.1")
        version = "11.5.0" if change == "version" else str(tensorrt_module().__version__)
        with stand_in_gpu(monkeypatch, version, gpu):
            assert "build" in ran(model, hint=hint)
            assert "build" not in ran(model, hint=hint)

    def test_tf32_is_off_unless_it_is_asked_for(self, tmp_path: Path) -> None:
        model = product(tmp_path, 2)
        for hint in ("", "tf32"):
            session = opened(model, hint)
            assert session._engine._about["tf32"] is (hint == "tf32")
            session.close()

    def test_engines_of_front_members_are_built_twice(self, tmp_path: Path) -> None:
        """Two builds may choose other kernels; sessions come from both in turn, two of each."""
        model = product(tmp_path, 2)
        runtime = runtime_of(with_two_builds("tensorrt"))
        builds = []
        for _ in range(8):
            session = runtime.open(model)
            assert isinstance(session, TensorRtSession)
            builds.append(session._engine._about["build"])
            session.close()
        first, second = builds[0], builds[2]
        assert first != second
        assert builds == [first, first, second, second] * 2
        plain = opened(model)
        assert plain._engine._about["build"] == first
        plain.close()

    def test_a_second_build_does_not_ask_the_first_ones_timing_cache(self, tmp_path: Path) -> None:
        runtime = TensorRtRuntime("twice")
        calls.clear()
        for _ in range(3):
            runtime.open(product(tmp_path, 2)).close()
        timings = [call for call in calls if call.startswith("timing")]
        assert timings == ["timing cache of 0 bytes", "timing cache of 0 bytes"]

    @pytest.mark.parametrize(
        ("spec", "twice"),
        [
            ("tensorrt", "tensorrt:twice"),
            ("tensorrt:tf32", "tensorrt:tf32-twice"),
            ("tensorrt:tf32-twice", "tensorrt:tf32-twice"),
            ("onnxruntime:cuda", "onnxruntime:cuda"),
            ("openvino", "openvino"),
            ("trtexec", "trtexec"),
        ],
    )
    def test_specs_that_build_twice(self, spec: str, twice: str) -> None:
        assert with_two_builds(spec) == twice
        runtime_of(twice)

    def test_an_unknown_hint(self) -> None:
        with pytest.raises(InvalidInput, match="int8"):
            TensorRtRuntime("int8")

    def test_what_a_failed_build_says(self, tmp_path: Path) -> None:
        for said, kind in (
            ("Cuda Runtime (out of memory)", OutOfMemory),
            ("Could not find any implementation for node conv", UnsupportedOp),
            ("Internal Error", BuildFailed),
        ):
            broken["build"] = said
            with pytest.raises(kind, match=said.replace("(", r"\(").replace(")", r"\)")) as failed:
                TensorRtRuntime().open(product(tmp_path, 2))
            assert "never mind" not in failed.value.message
        del broken["build"]
        TensorRtRuntime().open(product(tmp_path, 2)).close()

    def test_no_room_for_an_engine(self, tmp_path: Path) -> None:
        broken["context"] = ""
        with pytest.raises(OutOfMemory, match="no memory left"):
            TensorRtRuntime().open(product(tmp_path, 2))


@pytest.mark.usefixtures("gpu")
class TestTimingCache:
    def caches(self) -> dict[str, bytes]:
        store = EngineStore()
        return {path.stem: store.load("timing", path.stem) or b"" for path in store.folder.glob("*.timing")}

    def test_one_build_leaves_it_for_the_next(self, tmp_path: Path) -> None:
        TensorRtRuntime().open(product(tmp_path, 2)).close()
        (known,) = self.caches().values()
        calls.clear()
        TensorRtRuntime().open(product(tmp_path, 3)).close()
        assert f"timing cache of {len(known)} bytes" in calls
        assert len(self.caches()) == 1

    def test_what_another_process_learnt_meanwhile_is_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        builder = EngineBuilder(load_library(), EngineStore(), product(tmp_path, 2))
        built = fake_tensorrt.Builder.build_serialized_network

        def slow_build(self: Any, network: Any, config: Any) -> Any:
            EngineStore().save("timing", builder.timing_key(), b"times of another")
            return built(self, network, config)

        monkeypatch.setattr(fake_tensorrt.Builder, "build_serialized_network", slow_build)
        TensorRtRuntime().open(product(tmp_path, 2)).close()
        (known,) = self.caches().values()
        assert b"times of another" in known
        assert known != b"times of another"

    def test_it_is_of_a_gpu_model_and_a_version(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def key(version: str = "11.4.0", **changes: Any) -> str:
            with stand_in_gpu(monkeypatch, version, replace(GPU, **changes)):
                return EngineBuilder(load_library(), EngineStore(), product(tmp_path)).timing_key()

        same = key()
        assert key(driver="590.2") == same
        assert key(memory_bytes=1) == same
        others = {key("11.5.0"), key(name="NVIDIA Other"), key(compute_capability="9.0")}
        assert len({same, *others}) == 4


@pytest.mark.usefixtures("gpu")
class TestForeignEngines:
    """An engine is native code: it is loaded from our store, as we wrote it, and from nowhere else."""

    @pytest.fixture
    def kept(self, tmp_path: Path) -> Path:
        TensorRtRuntime().open(product(tmp_path, 2)).close()
        (path,) = (cache_folder() / "engines").glob("*.engine")
        return path

    def again(self, tmp_path: Path) -> list[str]:
        return ran(product(tmp_path, 2))

    @pytest.mark.parametrize("suffix", [".engine", ".plan", ".trt", ".ENGINE"])
    def test_no_engine_is_taken_as_a_model(self, tmp_path: Path, kept: Path, suffix: str) -> None:
        path = tmp_path / f"model{suffix}"
        path.write_bytes(kept.read_bytes())
        calls.clear()
        with pytest.raises(BuildFailed, match="native code"):
            TensorRtRuntime().open(path)
        assert calls == []

    def test_an_engine_called_a_model_is_only_parsed(self, tmp_path: Path, kept: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(kept.read_bytes())
        calls.clear()
        with pytest.raises(BuildFailed):
            TensorRtRuntime().open(path)
        assert "load" not in calls

    @pytest.mark.parametrize("how", ["changed", "cut", "bare", "other", "empty"])
    def test_one_that_is_not_as_we_wrote_it_is_built_anew(self, tmp_path: Path, kept: Path, how: str) -> None:
        content = kept.read_bytes()
        EngineStore().save("engine", "f" * 64, b"another engine")
        kept.write_bytes(
            {
                "changed": content[:-1] + bytes([content[-1] ^ 1]),
                "cut": content[:-1],
                "bare": content.split(b"\n", 3)[3],
                "other": (kept.parent / f"{'f' * 64}.engine").read_bytes(),
                "empty": b"",
            }[how]
        )
        assert self.again(tmp_path) == ["parse", "build", "load"]
        assert kept.read_bytes() != content
        assert self.again(tmp_path) == ["load"]

    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
    def test_one_that_others_may_write_is_built_anew(self, tmp_path: Path, kept: Path, mode: int) -> None:
        kept.chmod(mode)
        assert "build" in self.again(tmp_path)
        assert kept.stat().st_mode & 0o777 == 0o600

    def test_a_link_is_not_followed(self, tmp_path: Path, kept: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        kept.rename(elsewhere)
        kept.symlink_to(elsewhere)
        assert "build" in self.again(tmp_path)
        assert not kept.is_symlink()

    def test_another_users_is_built_anew(self, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "build" not in self.again(tmp_path)
        monkeypatch.setattr(os, "getuid", lambda: kept.stat().st_uid + 1)
        assert "build" in self.again(tmp_path)

    def test_only_this_user_can_read_what_is_kept(self, kept: Path) -> None:
        assert kept.stat().st_mode & 0o777 == 0o600
        assert kept.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("gpu")
class TestSessions:
    def test_the_parts_of_an_inference(self, tmp_path: Path) -> None:
        session = opened(product(tmp_path))
        parts = session.timings(rows(4))
        assert min(parts.host_to_device_ms, parts.compute_ms, parts.device_to_host_ms) > 0
        session.close()

    def test_events_stand_between_the_parts(self, tmp_path: Path, gpu: FakeCuda, monkeypatch: Any) -> None:
        done: list[str] = []
        for name in ("cudaEventRecord", "cudaMemcpyAsync", "cudaStreamSynchronize"):
            function = getattr(gpu, name)
            monkeypatch.setattr(gpu, name, lambda *a, n=name, f=function: (done.append(n), f(*a))[1], raising=False)
        execute = fake_tensorrt.IExecutionContext.execute_async_v3
        monkeypatch.setattr(
            fake_tensorrt.IExecutionContext, "execute_async_v3", lambda *a: (done.append("execute"), execute(*a))[1]
        )
        session = opened(product(tmp_path, 2))
        session.timings(rows(2))
        session.close()
        event, copy = "cudaEventRecord", "cudaMemcpyAsync"
        assert done == [event, copy, event, "execute", event, copy, event, "cudaStreamSynchronize"]

    def test_layers_with_their_times(self, tmp_path: Path) -> None:
        nodes = TensorRtRuntime().time_nodes(product(tmp_path), rows(2), runs=3)
        assert [(node.operator, node.ms, node.provider) for node in nodes] == [("MatMul", 0.1, "TensorRT")]
        assert nodes[0].inputs == (("float32", (1, 8)),)

    def test_a_model_that_does_not_run(self, tmp_path: Path) -> None:
        session = opened(product(tmp_path))
        broken["run"] = ""
        with pytest.raises(BuildFailed, match="did not run"):
            session.run(rows(2))
        session.close()

    @pytest.mark.parametrize(
        "feed",
        [{}, {"x": np.zeros((2, 8))}, {"x": np.zeros((2, 7), np.float32)}, {"x": np.zeros(8, np.float32)}],
        ids=["missing", "type", "size", "rank"],
    )
    @pytest.mark.parametrize("batch", [2, "n"])
    def test_an_input_that_does_not_fit(self, tmp_path: Path, feed: dict[str, Any], batch: Dim) -> None:
        session = opened(product(tmp_path, batch))
        with pytest.raises(BuildFailed, match="refused an input"):
            session.run(feed)
        assert session.run(rows(2))["y"].shape == (2, 4)
        session.close()

    def test_after_closing(self, tmp_path: Path) -> None:
        session = opened(product(tmp_path))
        session.close()
        with pytest.raises(BuildFailed, match="closed"):
            session.run(rows(2))

    def test_answers_are_the_callers_own(self, tmp_path: Path) -> None:
        session = opened(product(tmp_path))
        first = session.run(rows(2))["y"]
        before = first.copy()
        session.run({"x": rows(2)["x"] + 1})
        np.testing.assert_array_equal(first, before)
        session.close()


class TestCudaErrors:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("cudaErrorMemoryAllocation", OutOfMemory),
            ("cudaErrorInsufficientDriver", DeviceUnavailable),
            ("cudaErrorNoDevice", DeviceUnavailable),
            ("cudaErrorInvalidValue", BuildFailed),
            ("cudaErrorIllegalAddress", GpuLost),
            ("cudaErrorLaunchFailure", GpuLost),
        ],
    )
    def test_each_is_raised_as_what_it_means(
        self, gpu: FakeCuda, tmp_path: Path, name: str, kind: type[BaseException]
    ) -> None:
        session = opened(product(tmp_path))
        gpu.code = getattr(gpu.cudaError_t, name)
        with pytest.raises(kind):
            session.run(rows(2))
        gpu.code = gpu.cudaError_t.cudaSuccess
        session.close()
        gpu.live.clear()

    def test_a_lost_gpu_ends_the_process(self) -> None:
        """Caught as an error, every later candidate would fail in that process too."""
        assert not issubclass(GpuLost, Exception)


class TestWhatIsMissing:
    def test_the_driver_comes_first(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Where there is none, TensorRT's runtime must not be made: that ends the process."""
        with stand_in_gpu(monkeypatch):

            def no_driver() -> None:
                raise DeviceUnavailable("no driver", "install one")

            monkeypatch.setattr(tensorrt_library, "cuda_gpu", no_driver)
            monkeypatch.setitem(sys.modules, "tensorrt", None)
            with pytest.raises(DeviceUnavailable, match="no driver"):
                TensorRtRuntime().open(product(tmp_path, 2))
            assert calls == []

    @pytest.mark.parametrize(
        ("module", "said"),
        [
            (None, "TensorRT is not installed"),
            ("8.6.1", r"TensorRT 8\.6\.1 is too old"),
        ],
    )
    def test_then_the_library(self, monkeypatch: pytest.MonkeyPatch, module: str | None, said: str) -> None:
        with stand_in_gpu(monkeypatch, "11.4.0"):
            monkeypatch.setitem(sys.modules, "tensorrt", None if module is None else fake_tensorrt.module(module))
            with pytest.raises(DeviceUnavailable, match=said) as missing:
                TensorRtRuntime().version()
            assert "install" in missing.value.hint

    def test_the_version_of_what_is_there(self, gpu: FakeCuda) -> None:
        assert TensorRtRuntime().version() in ("10.3.0", "11.4.0")


class TestLayers:
    def test_the_inspectors_words(self) -> None:
        described = {
            "Layers": [
                {
                    "Name": "conv1 + relu1",
                    "LayerType": "CaskConvolution",
                    "Inputs": [{"Name": "x", "Dimensions": [1, 3, 32, 32], "Format/Datatype": "Int8 NC/4HW4 format"}],
                    "Outputs": [{"Name": "y", "Dimensions": [1, 8, 32, 32], "Format/Datatype": "Row major FP16"}],
                },
                "a name alone",
            ],
            "Bindings": ["x", "y"],
        }
        (first, second) = layers_of({"conv1 + relu1": [0.3, 0.1, 0.2], "reformat": [1.0]}, json.dumps(described))
        assert (first.name, first.operator, first.ms) == ("conv1 + relu1", "CaskConvolution", 0.2)
        assert first.inputs == (("int8", (1, 3, 32, 32)),)
        assert first.outputs == (("float16", (1, 8, 32, 32)),)
        assert (second.name, second.operator, second.inputs) == ("reformat", "", ())

    @pytest.mark.parametrize("described", ["", "no JSON", "[]", '{"Layers": ["a", "b"]}'])
    def test_times_do_without_a_description(self, described: str) -> None:
        assert [(node.name, node.ms) for node in layers_of({"a": [0.5]}, described)] == [("a", 0.5)]


def test_options_that_change_an_engine_change_its_key(gpu: FakeCuda, tmp_path: Path) -> None:
    builder = EngineBuilder(load_library(), EngineStore(), product(tmp_path))
    options: list[tuple[EngineOptions, dict[str, tuple[int, ...]]]] = [
        (EngineOptions(), {}),
        (EngineOptions(tf32=True), {}),
        (EngineOptions(build=1), {}),
        (EngineOptions(), {"x": (1, 8)}),
        (EngineOptions(), {"x": (2, 8)}),
    ]
    assert len({builder.key(*one) for one in options}) == len(options)
