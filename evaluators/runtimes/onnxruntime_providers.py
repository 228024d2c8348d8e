"""Where ONNX Runtime executes, by hint: the processor, or an NVIDIA GPU through CUDA or TensorRT.

Options: https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html and
https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.runtimes.base import TimedNode
from evaluators.runtimes.engine_store import EngineStore
from evaluators.runtimes.onnxruntime_nodes import check_assignment
from evaluators.tensors import Arrays, TensorSpec
from hwprofiles.cuda import cuda_gpu
from hwprofiles.errors import CandidateError, DeviceUnavailable, UnsupportedOp

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

PROVIDERS = {"": CPU, "cuda": CUDA, "cuda-tf32": CUDA, "tensorrt": TENSORRT}
"""By the runtime's hint."""

_INSTALL = "pip uninstall onnxruntime, then: pip install 'paretune[cuda]'"

MOST_SHAPE_VALUES = 64
"""A tensor of integers that is no longer than this, on the processor, is taken for a shape."""

Provider = str | tuple[str, dict[str, str]]


def providers_of(hint: str, model: Path) -> list[Provider]:
    """What a session of ``model`` is asked to run on, with options; nothing else is offered to it."""
    name = PROVIDERS[hint]
    if name == CUDA:
        # Float products in full, unless asked otherwise; kernels chosen by measuring them.
        tf32 = "1" if hint == "cuda-tf32" else "0"
        return [(CUDA, {"device_id": "0", "use_tf32": tf32, "cudnn_conv_algo_search": "EXHAUSTIVE"})]
    if name == TENSORRT:
        options = {
            "device_id": "0",
            "trt_fp16_enable": "0",
            # Engines are native code, and this provider would load them from a folder without looking at them.
            "trt_engine_cache_enable": "0",
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(_timing_folder()),
        }
        if _has_integers(model):
            options["trt_int8_enable"] = "1"
        return [(TENSORRT, options)]
    return [CPU]


def check_available(ort: Any, hint: str) -> None:
    """Raises :class:`DeviceUnavailable` where a hint's provider cannot be had, naming what is missing: the driver
    first, then the package. Loads the libraries that come as packages."""
    name = PROVIDERS[hint]
    if name == CPU:
        return
    cuda_gpu()
    if name not in ort.get_available_providers():
        raise DeviceUnavailable(f"this build of ONNX Runtime has no {name}", _INSTALL)
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls(directory="")


def check_providers(session: Any, hint: str, name: str) -> None:
    """Raises where a session of file ``name`` has another provider than the hint's: ONNX Runtime goes on without one
    that does not load."""
    wanted, found = PROVIDERS[hint], list(session.get_providers())
    if wanted not in found:
        raise DeviceUnavailable(
            f"ONNX Runtime's {wanted} does not load here, only {', '.join(found)}",
            "install the libraries that it needs: pip install 'paretune[cuda]'"
            + ("; it also needs TensorRT 10" if wanted == TENSORRT else ""),
        )
    others = [one for one in found if one not in (wanted, CPU)]
    if others:
        raise UnsupportedOp(f"{name} runs on {', '.join(others)} too, not on {wanted} alone")


def check_all_on(
    hint: str, session: Any, name: str, inputs: Sequence[TensorSpec], timed: Callable[[Arrays], list[TimedNode]]
) -> None:
    """Raises :class:`UnsupportedOp` naming the nodes of file ``name`` that would not run on the hint's provider.

    ``session`` was opened with ``session.record_ep_graph_assignment_info``. On a GPU, what computes shapes is left to
    the processor on purpose, since shapes are needed there; whether strays do no more than that is read from a run that
    ``timed`` reports on: they write few integers, and no other numbers.
    """
    wanted = PROVIDERS[hint]
    try:
        check_assignment(session, {wanted}, name)
    except UnsupportedOp:
        if wanted == CPU:
            raise
        feed = {spec.name: _zeros(spec) for spec in inputs}
        try:
            nodes = timed(feed)
        except CandidateError:
            nodes = []
        if not nodes or any(node.provider != wanted and not computes_shapes(node) for node in nodes):
            raise


def computes_shapes(node: TimedNode) -> bool:
    """Whether all that a node writes could be a shape: few integers or truth values."""
    return bool(node.outputs) and all(
        kind in ("int64", "int32", "bool") and np.prod(shape, dtype=np.int64) <= MOST_SHAPE_VALUES
        for kind, shape in node.outputs
    )


def _zeros(spec: TensorSpec) -> np.ndarray[Any, Any]:
    return np.zeros([1 if dim is None else dim for dim in spec.shape], spec.dtype)


def _has_integers(model: Path) -> bool:
    """Whether integers are in the graph: the provider wants to be told. Looks for the operator's name alone."""
    try:
        return b"DequantizeLinear" in model.read_bytes()
    except OSError:
        return False


def _timing_folder() -> Path:
    """Beside our own store; the provider names its files by GPU."""
    folder = EngineStore().folder / "onnxruntime"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
