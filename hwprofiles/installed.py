"""Which runtimes are installed here, in which version."""

from __future__ import annotations

import contextlib
from importlib import import_module, metadata

from hwprofiles.errors import DeviceUnavailable

# Our name of a runtime to the packages that it may come in, and the extra that installs the usual one.
_PACKAGES = {
    "onnxruntime": (("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"), "ort"),
    "openvino": (("openvino",), "openvino"),
}


def package_version(package: str) -> str:
    """Version of an installed runtime package; raises :class:`DeviceUnavailable` where it is missing."""
    names, extra = _PACKAGES.get(package, ((package,), "ort"))
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    raise DeviceUnavailable(
        f"the runtime package {package!r} is not installed", f"install it with: pip install 'paretune[{extra}]'"
    )


def processor_runtimes() -> tuple[tuple[str, str], ...]:
    """Name and version of the installed runtimes that execute on a processor, ONNX Runtime first."""
    found = []
    for runtime in _PACKAGES:
        with contextlib.suppress(DeviceUnavailable):
            found.append((runtime, package_version(runtime)))
    return tuple(found)


def onnxruntime_providers() -> tuple[str, ...]:
    """What ONNX Runtime can execute on here, in its own order; none where it is missing. Imports it."""
    try:
        runtime = import_module("onnxruntime")  # only when asked: profiles load nothing that large
    except ImportError:
        return ()
    return tuple(runtime.get_available_providers())
