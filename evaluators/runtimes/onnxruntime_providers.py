"""ONNX Runtime's providers by hint: the processor, or an NVIDIA GPU through CUDA or TensorRT.

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
from hwprofiles.installed import install_command

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"

PROVIDERS = {"": CPU, "cuda": CUDA, "cuda-tf32": CUDA, "tensorrt": TENSORRT}
"""Provider by the runtime's hint."""

_INSTALL = f"pip uninstall onnxruntime, then: {install_command('cuda')}"

MOST_SHAPE_VALUES = 64
"""An integer tensor on the processor with at most this many values is considered a shape."""

Provider = str | tuple[str, dict[str, str]]


def providers_of(hint: str, model: Path) -> list[Provider]:
    """Returns the providers, with options, that a session of ``model`` may use."""
    name = PROVIDERS[hint]
    if name == CUDA:
        # Float products in full precision unless the hint says otherwise; kernels are chosen by measuring them.
        tf32 = "1" if hint == "cuda-tf32" else "0"
        return [(CUDA, {"device_id": "0", "use_tf32": tf32, "cudnn_conv_algo_search": "EXHAUSTIVE"})]
    if name == TENSORRT:
        options = {
            "device_id": "0",
            "trt_fp16_enable": "0",
            # Engines are native code, and this provider would load them from a folder without checking them.
            "trt_engine_cache_enable": "0",
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(_timing_folder()),
        }
        if _has_integers(model):
            options["trt_int8_enable"] = "1"
        return [(TENSORRT, options)]
    return [CPU]


def check_available(ort: Any, hint: str) -> None:
    """Checks that a hint's provider is available, and loads libraries that come as Python packages.

    Raises:
        DeviceUnavailable: names what is missing: the driver, else the package.
    """
    name = PROVIDERS[hint]
    if name == CPU:
        return
    cuda_gpu()
    if name not in ort.get_available_providers():
        raise DeviceUnavailable(f"this build of ONNX Runtime has no {name}", _INSTALL)
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls(directory="")


def check_providers(session: Any, hint: str, name: str) -> None:
    """Checks that a session of file ``name`` uses only the hint's provider; ONNX Runtime skips those that do not load.

    Raises:
        DeviceUnavailable: the provider did not load.
        UnsupportedOp: the session uses another provider too.
    """
    wanted, loaded = PROVIDERS[hint], list(session.get_providers())
    if wanted not in loaded:
        raise DeviceUnavailable(
            f"ONNX Runtime's {wanted} does not load here, only {', '.join(loaded)}",
            f"install the libraries that it needs: {install_command('cuda')}"
            + ("; it also needs TensorRT 10" if wanted == TENSORRT else ""),
        )
    foreign = [provider for provider in loaded if provider not in (wanted, CPU)]
    if foreign:
        raise UnsupportedOp(f"{name} runs on {', '.join(foreign)} too, not on {wanted} alone")


def check_all_on(
    hint: str, session: Any, name: str, inputs: Sequence[TensorSpec], time_nodes: Callable[[Arrays], list[TimedNode]]
) -> None:
    """Checks that every node of file ``name`` runs on the hint's provider.

    ``session`` must have been opened with ``session.record_ep_graph_assignment_info``. On a GPU, nodes that compute
    shapes stay on the processor by design. Nodes count as such if they write only a few integers in a run that
    ``time_nodes`` reports.

    Raises:
        UnsupportedOp: names the nodes that run elsewhere.
    """
    wanted = PROVIDERS[hint]
    try:
        check_assignment(session, {wanted}, name)
    except UnsupportedOp:
        if wanted == CPU:
            raise
        feed = {spec.name: _zeros(spec) for spec in inputs}
        try:
            nodes = time_nodes(feed)
        except CandidateError:
            nodes = []
        if not nodes or any(node.provider != wanted and not computes_shapes(node) for node in nodes):
            raise


def computes_shapes(node: TimedNode) -> bool:
    """Returns whether all outputs of a node could be shapes: few integers or booleans."""
    return bool(node.outputs) and all(
        kind in ("int64", "int32", "bool") and np.prod(shape, dtype=np.int64) <= MOST_SHAPE_VALUES
        for kind, shape in node.outputs
    )


def _zeros(spec: TensorSpec) -> np.ndarray[Any, Any]:
    return np.zeros([1 if dim is None else dim for dim in spec.shape], spec.dtype)


def _has_integers(model: Path) -> bool:
    """Returns whether a file contains the operator DequantizeLinear: TensorRT then needs its int8 option."""
    try:
        return b"DequantizeLinear" in model.read_bytes()
    except OSError:
        return False


def _timing_folder() -> Path:
    """Creates the folder of timing caches in our engine store; the provider names its files by GPU."""
    folder = EngineStore().folder / "onnxruntime"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
