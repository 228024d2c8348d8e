"""How a field of the job file is written that was written wrongly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from hwprofiles.suggestions import closest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

LIST_TYPES, MAPPING_TYPES = ("tuple_type", "list_type"), ("model_type", "dict_type", "mapping_type")
"""Kinds of pydantic's errors: a list, or a mapping, was expected."""

_QUANTITY = re.compile(r"\s*(\d+\.?\d*)\s*([A-Za-z]+)\s*")
BYTE_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
"""Bytes of a unit, in lower case."""

_EXAMPLES = {
    "task": "{name: digits}", "devices": "[local-cpu]", "objectives": "[{metric: speedup, direction: max}]",
    "constraints": "['accuracy >= baseline - 0.01']", "space": "{precision: {}}", "options": "{OPTION: VALUE}",
    "losses": "{kl: 1.0}", "model": "model.onnx", "name": "text", "metric": "speedup", "direction": "max",
    "stages": "[{strategy: nsga2}]",
}  # fmt: skip
"""Examples of fields whose default does not show how they are written."""


def how_written(problem: Mapping[str, Any], place: Sequence[str], field: FieldInfo | None) -> str:
    """Returns a hint that shows how a field is written: ``write: minutes: 10``.

    ``problem`` is pydantic's error, ``place`` the names and numbers that lead to the value, ``field`` its field.
    """
    value, kind = problem.get("input"), problem["type"]
    name, in_list = next(part for part in reversed(place) if not part.isdigit()), place[-1].isdigit()
    if value is None:
        return f"give {name} a value, or leave the line out"
    if field is not None and isinstance(value, str) and value.lower() in ("none", "off", "no") and _may_be_null(field):
        return f"write: {name}: null"
    if kind in ("literal_error", "enum"):
        return _one_of(str(value), problem["ctx"]["expected"], name, in_list)
    if kind in LIST_TYPES and isinstance(value, str | int | float):
        return f"write: {name}: [{value!r}]"
    if kind in MAPPING_TYPES:
        return f"write: {name}: {_as_mapping(value, name, field)}"
    if isinstance(value, str) and (match := _QUANTITY.fullmatch(value)):
        factor = BYTE_UNITS.get(match[2].lower(), 1) if name.endswith("_bytes") else 1
        return f"write: {name}: {float(match[1]) * factor:.15g}, without a unit"
    if kind == "string_type" and isinstance(value, str | int | float | bool):
        return f"write: {name}: '{value}'"
    return f"write: {name}: {_example(problem, name, field)}"


def _one_of(value: str, expected: str, name: str, in_list: bool) -> str:
    names = re.findall(r"'([^']+)'", expected) or re.split(r", | or ", expected)
    near = closest(value, names)
    if near:
        return f"did you mean {near!r}?"
    return f"write: {name}: " + (f"[{', '.join(names[:2])}]" if in_list else names[0])


def _as_mapping(value: Any, name: str, field: FieldInfo | None) -> str:
    """Returns a mapping that holds what was written, if that is clear, else an example."""
    if isinstance(value, str) and name in ("task", "devices", "strategy"):
        return f"[{value}]" if name == "devices" else f"{{name: {value}}}"
    if isinstance(value, list) and name in ("space", "losses") and all(isinstance(item, str) for item in value):
        return f"{{{', '.join(f'{item}: {{}}' for item in value)}}}"
    if isinstance(value, str) and name == "space":
        return f"{{{value}: {{}}}}"
    default = None if field is None else field.get_default(call_default_factory=True)
    fields = getattr(type(default), "model_fields", None)
    if fields is None:
        return _EXAMPLES.get(name, "{}")
    key = next(iter(fields))
    given = isinstance(value, int | float) and not isinstance(value, bool) and key != "name"
    return f"{{{key}: {value if given else getattr(default, key)}}}"


def _example(problem: Mapping[str, Any], name: str, field: FieldInfo | None) -> str:
    """Returns the field's default, else a value that is large enough."""
    default = None if field is None else field.get_default(call_default_factory=True)
    if name in _EXAMPLES:
        return _EXAMPLES[name]
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, int | float | str):
        return str(default.value) if isinstance(default, Enum) else f"{default}"
    if isinstance(default, tuple | list) and default:
        return f"[{', '.join(str(item.value if isinstance(item, Enum) else item) for item in default)}]"
    bounds = problem.get("ctx", {})
    return f"{bounds.get('ge', bounds.get('gt', 0) + 1):g}"


def _may_be_null(field: FieldInfo) -> bool:
    return type(None) in getattr(field.annotation, "__args__", ())
