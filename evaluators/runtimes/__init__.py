"""Runtimes: what executes an exported file. A new one is one file here, one line below, and one test class."""

from evaluators.runtimes.base import Array, Arrays, Runtime, Session, TensorSpec
from evaluators.runtimes.null import NullRuntime
from evaluators.runtimes.onnxruntime import OnnxRuntime

RUNTIMES: dict[str, type[Runtime]] = {"onnxruntime": OnnxRuntime, "null": NullRuntime}

__all__ = ["RUNTIMES", "Array", "Arrays", "NullRuntime", "OnnxRuntime", "Runtime", "Session", "TensorSpec"]
