"""Runtimes: what executes an exported file. A new one is one file here, one line below, and one test class."""

from evaluators.runtimes.base import Runtime, Session
from evaluators.runtimes.null import NullRuntime
from evaluators.runtimes.onnxruntime import OnnxRuntime
from evaluators.runtimes.openvino import OpenVino
from evaluators.runtimes.tensorrt import TensorRtRuntime, with_two_builds
from evaluators.runtimes.trtexec import TrtexecRuntime
from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles.errors import InvalidInput

RUNTIMES: dict[str, type[Runtime]] = {
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "tensorrt": TensorRtRuntime,
    "trtexec": TrtexecRuntime,
    "null": NullRuntime,
}


def runtime_of(spec: str) -> Runtime:
    """The runtime that ``name`` or ``name:hint`` names; raises :class:`InvalidInput` for one that there is not.

    >>> runtime_of("onnxruntime").name
    'onnxruntime'
    """
    name, _, hint = spec.partition(":")
    if name not in RUNTIMES:
        raise InvalidInput(f"unknown runtime {name!r}", f"known: {', '.join(RUNTIMES)}")
    return RUNTIMES[name](hint)


__all__ = [
    "RUNTIMES",
    "Array",
    "Arrays",
    "NullRuntime",
    "OnnxRuntime",
    "OpenVino",
    "Runtime",
    "Session",
    "TensorRtRuntime",
    "TensorSpec",
    "TrtexecRuntime",
    "with_two_builds",
    "runtime_of",
]
