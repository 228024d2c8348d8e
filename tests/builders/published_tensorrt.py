"""The published bindings of TensorRT, asked for every name that they have.

The wheel of the bindings holds no library, and its module does not load without one. Where the functions of the library
are only named (:mod:`stand_in_library`), it does: classes, methods and enumerations are the bindings' own. Nothing of
the library can be called then, which is why this runs as a program of its own and prints what it found:
``python published_tensorrt.py FOLDER MODULE [PLACE]``.
"""

from __future__ import annotations

import ctypes
import importlib
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from stand_in_library import write_library

LIBRARIES = ("libnvinfer.so.{}", "libnvinfer_plugin.so.{}", "libnvonnxparser.so.{}")
FUNCTIONS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
)  # fmt: skip


def load(folder: Path, module: str) -> ModuleType:
    """The module of the bindings, its libraries stood in for by files in ``folder``."""
    for major in ("10", "11"):
        for name in LIBRARIES:
            path = folder / name.format(major)
            write_library(path, FUNCTIONS)
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
    return importlib.import_module(module)


def described(module: ModuleType) -> dict[str, Any]:
    """``{class: {member: first lines of its documentation}}``, an enumeration's members with their numbers; the
    version and the functions of the module under ``""``."""
    found: dict[str, Any] = {"": {"__version__": str(module.__version__)}}
    for name, value in vars(module).items():
        if inspect.isclass(value) and not name.startswith("_"):
            found[name] = {member: _said(value, member) for member in dir(value)}
            for inner, nested in vars(value).items():
                if inspect.isclass(nested) and not inner.startswith("_"):
                    found[f"{name}.{inner}"] = {member: _said(nested, member) for member in dir(nested)}
        elif callable(value) and not name.startswith("_"):
            found[""][name] = " ".join((inspect.getdoc(value) or "").split())
    return found


def _said(owner: type, member: str) -> str:
    value = inspect.getattr_static(owner, member)
    text = inspect.getdoc(getattr(value, "__func__", value)) or ""
    if isinstance(value, owner) and hasattr(value, "value"):
        return f"= {value.value}"
    if isinstance(value, property):
        return f"{'settable' if value.fset else 'fixed'} property"
    return " ".join(text.split())[:600]


if __name__ == "__main__":
    sys.path[:0] = sys.argv[3:]
    print(json.dumps(described(load(Path(sys.argv[1]), sys.argv[2]))))
