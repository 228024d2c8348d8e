from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import fake_tensorrt
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from stand_in_gpu import stand_in_gpu

Array = NDArray[np.generic]
RunModel = Callable[[onnx.ModelProto, Mapping[str, Array]], dict[str, Array]]
ExecutedOps = Callable[[onnx.ModelProto], Counter[str]]


@pytest.fixture(params=["10.3.0", "11.4.0"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_tensorrt.FakeCuda]:
    """A GPU with TensorRT, old and new, as far as a machine without one can have it."""
    with stand_in_gpu(monkeypatch, request.param) as cuda:
        yield cuda


@pytest.fixture
def run_model() -> RunModel:
    from evaluators.graphs.reference_run import run_once

    return run_once


@pytest.fixture
def executed_ops(tmp_path: Path) -> ExecutedOps:
    """The operators that the runtime executes after its own optimisations."""

    def count(model: onnx.ModelProto) -> Counter[str]:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.optimized_model_filepath = str(tmp_path / "executed.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        optimized = onnx.load(tmp_path / "executed.onnx")
        return Counter(node.op_type for node in optimized.graph.node)

    return count
