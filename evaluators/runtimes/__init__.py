"""Runtimes, which execute exported files. A new one needs a file here, a line below, and a test class."""

from evaluators.runtimes.base import Runtime, Session
from evaluators.runtimes.null import NullRuntime
from evaluators.runtimes.onnxruntime import OnnxRuntime
from evaluators.runtimes.openvino import OpenVino
from evaluators.runtimes.tensorrt import TensorRtRuntime, with_two_builds
from evaluators.runtimes.trtexec import TrtexecRuntime
from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles.errors import InvalidInput
from hwprofiles.installed import RUNTIMES_GROUP
from hwprofiles.plugins import Registry
from hwprofiles.suggestions import nearest

RUNTIMES: Registry[Runtime] = Registry(
    RUNTIMES_GROUP,
    {
        "onnxruntime": OnnxRuntime,
        "openvino": OpenVino,
        "tensorrt": TensorRtRuntime,
        "trtexec": TrtexecRuntime,
        "null": NullRuntime,
    },
)


def runtime_of(spec: str) -> Runtime:
    """Creates the runtime of a spec, ``name`` or ``name:hint``; raises :class:`InvalidInput` for an unknown one.

    >>> runtime_of("onnxruntime").name
    'onnxruntime'
    """
    name, _, hint = spec.partition(":")
    if name not in RUNTIMES:
        raise InvalidInput(f"unknown runtime {name!r}", nearest(name, tuple(RUNTIMES)))
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
    "runtime_of",
    "with_two_builds",
]
