"""Watches a technique: a call that writes to what it was given fails, and says to what."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from search.techniques import Draft, ModuleTechnique, Subject, Technique

CALLS = (
    *("offer", "apply", "layer_changes", "encodings", "compute_metrics", "describe", "layer_formats"),
    *("change", "effective", "constraint", "finish", "module_to_export", "depends"),
)
"""Methods of techniques that a job calls; the last six only of techniques that change the module."""

_SAMPLES = 32


def watch(technique: Technique) -> Technique:
    """Compares the subject and the arguments before and after each call of this technique, and returns it.

    A torch module may change, as :class:`ModuleTechnique` says.
    """
    for name in CALLS if isinstance(technique, ModuleTechnique) else CALLS[:7]:
        setattr(technique, name, _wrap(technique, name))
    return technique


def _wrap(technique: Technique, name: str) -> Callable[..., Any]:
    method = getattr(technique, name)

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        given = inspect.signature(method).bind(*arguments, **named).arguments
        before = _parts(technique.subject, given)
        result = method(*arguments, **named)
        after = _parts(technique.subject, given)
        written = [part for part in before if before[part] != after[part]]
        assert not written, f"{type(technique).__name__}.{name} writes to {', '.join(written)}: return something new"
        return result

    return call


def _parts(subject: Subject, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the contents of a subject and of a call's arguments, by name."""
    contents = {f"subject.{name}": content for name, content in _content(subject)}
    contents["subject.calibration_batches"] = _content(subject.calibration_batches(_SAMPLES))
    for name, value in given.items():
        whole = {"": _content(value)}
        parts = {f".{part}": content for part, content in _content(value)} if isinstance(value, Draft) else whole
        contents |= {f"{name}{part}": content for part, content in parts.items()}
    return contents


def _content(value: Any) -> Any:
    """Returns a copy of a value to compare with; of objects without known content, such as devices, only the type."""
    if isinstance(value, onnx.ModelProto):
        return value.SerializeToString(deterministic=True)
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    if isinstance(value, Mapping):
        return [(_content(name), _content(item)) for name, item in value.items()]
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    if is_dataclass(value):
        return [(field.name, _content(getattr(value, field.name))) for field in fields(value) if field.compare]
    if value is None or isinstance(value, str | int | float | Path | frozenset | set):
        return repr(value)
    return type(value)
