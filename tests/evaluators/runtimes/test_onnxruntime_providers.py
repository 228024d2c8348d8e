"""ONNX Runtime on a GPU: what it is asked for, and that no node runs elsewhere in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_builder import Builder
from stand_in_gpu import GPU

from evaluators.runtimes import OnnxRuntime, onnxruntime_providers, runtime_of
from evaluators.runtimes.base import TimedNode
from evaluators.runtimes.onnxruntime_providers import (
    CPU,
    CUDA,
    PROVIDERS,
    TENSORRT,
    check_all_on,
    check_available,
    check_providers,
    computes_shapes,
    providers_of,
)
from evaluators.tensors import TensorSpec
from hwprofiles.errors import BuildFailed, DeviceUnavailable, InvalidInput, UnsupportedOp
from hwprofiles.folders import cache_folder


def dynamic_model(folder: Path, *, quantised: bool = False) -> Path:
    """A product whose result takes the shape of its input, which the model computes."""
    builder = Builder()
    x = builder.input("x", ["n", 4])
    if quantised:
        scale, zero = builder.const(0.1), builder.const(0, np.int8)
        x = builder.op("DequantizeLinear", builder.op("QuantizeLinear", x, scale, zero), scale, zero)
    product = builder.op("MatMul", x, builder.weight(4, 4))
    builder.op("Reshape", product, builder.op("Shape", "x"), out="y")
    builder.output("y", shape=["n", 4])
    path = folder / "model.onnx"
    onnx.save(builder.model(), path)
    return path


class TestOptions:
    def test_the_processor_has_none(self, tmp_path: Path) -> None:
        assert providers_of("", tmp_path / "model.onnx") == [CPU]

    @pytest.mark.parametrize(("hint", "tf32"), [("cuda", "0"), ("cuda-tf32", "1")])
    def test_fp32_is_fp32_on_cuda_unless_asked_otherwise(self, tmp_path: Path, hint: str, tf32: str) -> None:
        ((name, options),) = providers_of(hint, tmp_path / "model.onnx")
        assert name == CUDA
        assert options["use_tf32"] == tf32

    @pytest.mark.parametrize("quantised", [True, False])
    def test_tensorrt(self, tmp_path: Path, quantised: bool) -> None:
        ((name, options),) = providers_of("tensorrt", dynamic_model(tmp_path, quantised=quantised))
        assert name == TENSORRT
        assert ("trt_int8_enable" in options) is quantised
        assert options["trt_fp16_enable"] == "0"

    def test_tensorrt_loads_no_engines_from_a_folder(self, tmp_path: Path) -> None:
        ((_, options),) = providers_of("tensorrt", dynamic_model(tmp_path))
        assert options["trt_engine_cache_enable"] == "0"
        assert not {name for name in options if "ep_context" in name or name == "trt_engine_cache_path"}
        timing = Path(options["trt_timing_cache_path"])
        assert timing == cache_folder() / "engines" / "onnxruntime"
        assert timing.stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("hint", PROVIDERS)
    def test_all_values_are_texts(self, tmp_path: Path, hint: str) -> None:
        """ONNX Runtime takes nothing else."""
        for provider in providers_of(hint, tmp_path / "model.onnx"):
            assert isinstance(provider, str) or all(isinstance(value, str) for value in provider[1].values())

    @pytest.mark.parametrize("hint", ["cuda", "cuda-tf32", "tensorrt"])
    def test_each_gets_no_provider_to_fall_back_on(self, tmp_path: Path, hint: str) -> None:
        assert len(providers_of(hint, tmp_path / "model.onnx")) == 1

    def test_hints(self) -> None:
        assert runtime_of("onnxruntime:cuda").on_gpu
        assert runtime_of("onnxruntime:tensorrt").on_gpu
        assert not runtime_of("onnxruntime").on_gpu
        assert runtime_of("onnxruntime:cuda-tf32").family == runtime_of("onnxruntime:cuda").family
        families = {runtime_of(spec).family for spec in ("onnxruntime", "onnxruntime:cuda", "onnxruntime:tensorrt")}
        assert len(families) == 3
        with pytest.raises(InvalidInput, match="rocm"):
            runtime_of("onnxruntime:rocm")


class TestMissing:
    def ort(self, *providers: str) -> Any:
        self.loaded: list[str] = []
        return SimpleNamespace(
            get_available_providers=lambda: list(providers),
            preload_dlls=lambda directory: self.loaded.append(directory),
        )

    def test_the_driver_is_named_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_driver() -> None:
            raise DeviceUnavailable("no driver", "install one")

        monkeypatch.setattr(onnxruntime_providers, "cuda_gpu", no_driver)
        for hint in ("cuda", "tensorrt"):
            with pytest.raises(DeviceUnavailable, match="no driver"):
                check_available(self.ort(CPU), hint)
        check_available(self.ort(CPU), "")

    def test_then_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnxruntime_providers, "cuda_gpu", lambda: GPU)
        with pytest.raises(DeviceUnavailable, match="no CUDAExecutionProvider") as missing:
            check_available(self.ort(CPU), "cuda")
        assert "paretune[cuda]" in missing.value.hint
        assert self.loaded == []

    def test_libraries_that_come_as_packages_are_loaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onnxruntime_providers, "cuda_gpu", lambda: GPU)
        check_available(self.ort(CUDA, CPU), "cuda")
        assert self.loaded == [""]

    @pytest.mark.parametrize("hint", ["cuda", "tensorrt"])
    def test_a_provider_that_does_not_load(self, hint: str) -> None:
        """ONNX Runtime says so in its log alone, and goes on with the processor."""
        with pytest.raises(DeviceUnavailable, match="does not load") as missing:
            check_providers(SimpleNamespace(get_providers=lambda: [CPU]), hint, "model.onnx")
        assert ("TensorRT 10" in missing.value.hint) is (hint == "tensorrt")

    def test_a_provider_too_many(self) -> None:
        with pytest.raises(UnsupportedOp, match="CUDAExecutionProvider"):
            check_providers(SimpleNamespace(get_providers=lambda: [TENSORRT, CUDA, CPU]), "tensorrt", "model.onnx")

    @pytest.mark.parametrize(("hint", "found"), [("", [CPU]), ("cuda", [CUDA, CPU]), ("tensorrt", [TENSORRT, CPU])])
    def test_what_was_asked_for(self, hint: str, found: list[str]) -> None:
        check_providers(SimpleNamespace(get_providers=lambda: found), hint, "model.onnx")


def node(provider: str, *outputs: tuple[str, tuple[int, ...]], operator: str = "MatMul") -> TimedNode:
    return TimedNode(f"/{operator}", operator, 0.1, provider, (), outputs)


SHAPE = node(CPU, ("int64", (2,)), operator="Shape")


class TestPlacement:
    """Every node on the provider that was asked for, but for what computes shapes."""

    def recorded(self, folder: Path) -> Any:
        """A session of this machine's ONNX Runtime, in which the processor has every node."""
        return OnnxRuntime()._session(dynamic_model(folder), 1, record=True)

    def check(self, folder: Path, hint: str, timed: Callable[..., list[TimedNode]]) -> None:
        check_all_on(hint, self.recorded(folder), "model.onnx", [TensorSpec("x", "float32", (None, 4))], timed)

    def test_all_where_they_should_be(self, tmp_path: Path) -> None:
        self.check(tmp_path, "", lambda feed: [])
        OnnxRuntime().check_placement(dynamic_model(tmp_path))

    @pytest.mark.parametrize("hint", ["cuda", "tensorrt"])
    def test_strays_are_named(self, tmp_path: Path, hint: str) -> None:
        stray = node(CPU, ("float32", (1, 4)))
        with pytest.raises(UnsupportedOp, match=r"run on CPUExecutionProvider, not on .*MatMul") as failed:
            self.check(tmp_path, hint, lambda feed: [SHAPE, stray])
        assert "\n" not in failed.value.message

    def test_shapes_may_be_computed_on_the_processor(self, tmp_path: Path) -> None:
        feeds = []

        def timed(feed: dict[str, Any]) -> list[TimedNode]:
            feeds.append(feed)
            return [SHAPE, node(CUDA, ("float32", (1, 4)))]

        self.check(tmp_path, "cuda", timed)
        assert feeds[0]["x"].shape == (1, 4)
        assert feeds[0]["x"].dtype == np.float32

    def test_a_run_that_says_nothing_excuses_nothing(self, tmp_path: Path) -> None:
        def fails(feed: dict[str, Any]) -> list[TimedNode]:
            raise BuildFailed("refused")

        for timed in (lambda feed: [], fails):
            with pytest.raises(UnsupportedOp):
                self.check(tmp_path, "cuda", timed)

    @pytest.mark.parametrize(
        ("outputs", "shapes"),
        [
            ([("int64", (4,))], True),
            ([("int64", ())], True),
            ([("bool", (1,)), ("int32", (64,))], True),
            ([("int64", (65,))], False),
            ([("int64", (4,)), ("float32", (1,))], False),
            ([("float32", (1,))], False),
            ([("int8", (4,))], False),
            ([], False),
        ],
    )
    def test_what_could_be_a_shape(self, outputs: list[tuple[str, tuple[int, ...]]], shapes: bool) -> None:
        assert computes_shapes(node(CPU, *outputs)) is shapes

    def test_a_run_of_this_machines_says_what_each_node_writes(self, tmp_path: Path) -> None:
        """That which the rule for shapes reads."""
        feed = {"x": np.zeros((2, 4), np.float32)}
        nodes = OnnxRuntime().time_nodes(dynamic_model(tmp_path), feed, runs=0)
        found = {one.operator: (one.provider, computes_shapes(one)) for one in nodes}
        assert found["Shape"] == (CPU, True)
        assert found["MatMul"] == (CPU, False)


def test_no_integer_input_is_fed_what_is_out_of_range(tmp_path: Path) -> None:
    """Zeros are an index of every table."""
    spec = TensorSpec("ids", "int64", (None, 3))
    zeros = onnxruntime_providers._zeros(spec)
    assert (zeros.shape, zeros.dtype, zeros.any()) == ((1, 3), np.int64, np.False_)
