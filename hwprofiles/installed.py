"""Names and versions of the installed runtimes."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from importlib import import_module, metadata
from pathlib import Path

from hwprofiles.errors import DeviceUnavailable
from hwprofiles.plugins import installed_plugins

RUNTIMES_GROUP = "paretune.runtimes"
"""Entry points of other packages' runtimes."""

# Runtime: the packages that provide it, and the extra that installs the usual one.
_PACKAGES = {
    "onnxruntime": (("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"), "ort"),
    "openvino": (("openvino",), "openvino"),
}


def install_command(extra: str) -> str:
    """Returns the command that installs an extra's packages beside this installation.

    pip takes them from the installed package's metadata, so Paretune itself need not be on an index. Names the
    interpreter unless the shell's ``pip`` is the one of this environment.
    """
    python, pip = Path(sys.executable), shutil.which("pip")
    own = pip is not None and Path(pip).parent == python.parent
    return f"{'' if own else f'{shlex.quote(str(python))} -m '}pip install 'paretune[{extra}]'"


def package_version(package: str) -> str:
    """Version of a runtime's package. Raises :class:`DeviceUnavailable` if it is not installed."""
    names, extra = _PACKAGES.get(package, ((package,), "ort"))
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    raise DeviceUnavailable(
        f"the runtime package {package!r} is not installed", f"install it with: {install_command(extra)}"
    )


def processor_runtimes() -> tuple[tuple[str, str], ...]:
    """Names and version of the installed runtimes for processors: ONNX Runtime first, those of other packages last."""
    runtimes = []
    for runtime in _PACKAGES:
        with contextlib.suppress(DeviceUnavailable):
            runtimes.append((runtime, package_version(runtime)))
    for point in installed_plugins(RUNTIMES_GROUP):
        if point.name not in _PACKAGES and point.dist is not None:
            runtimes.append((point.name, point.dist.version))
    return tuple(runtimes)


def onnxruntime_providers() -> tuple[str, ...]:
    """Returns the installed ONNX Runtime's execution providers in its order; empty without ONNX Runtime. Imports it."""
    try:
        runtime = import_module("onnxruntime")  # only on demand: it is large
    except ImportError:
        return ()
    return tuple(runtime.get_available_providers())
