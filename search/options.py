"""Validation of options against their pydantic models, with errors in the words of a job file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest

_Options = TypeVar("_Options", bound=BaseModel)


def validate_options(model: type[_Options], options: Mapping[str, Any], where: str) -> _Options:
    """Validates options; raises :class:`InvalidInput` that names the field below ``where``."""
    try:
        return model.model_validate(options)
    except ValidationError as error:
        raise explain_error(error, model, where) from None


def explain_error(error: ValidationError, model: type[BaseModel], where: str = "") -> InvalidInput:
    """Turns the first mistake of a validation into an error that says what is wrong, where, and how to fix it."""
    # A misspelt field is missing under its right name too: the misspelling says more.
    problem = min(error.errors(), key=lambda mistake: mistake["type"] not in _UNKNOWN_KEY)
    path = [part for part in problem["loc"] if not isinstance(part, str) or part not in ("function-after",)]
    place = ".".join(str(part) for part in ([where] if where else []) + list(path))
    if problem["type"] in _UNKNOWN_KEY:
        return InvalidInput(f"{place}: unknown key {path[-1]!r}", nearest(str(path[-1]), _keys_at(model, path[:-1])))
    if problem["type"] == "missing":
        return InvalidInput(f"{place}: missing", f"add the field {str(path[-1])!r}")
    value = problem.get("input")
    shown = f", not {value!r}" if isinstance(value, str | int | float | bool) else ", but is empty" * (value is None)
    return InvalidInput(f"{place}: {_expectation(problem)}{shown}", _example(problem, path))


_UNKNOWN_KEY = ("extra_forbidden", "invalid_key")
_LIST, _MAPPING = ("tuple_type", "list_type"), ("model_type", "dict_type")
_KINDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(_LIST, "a list"),
    **dict.fromkeys(_MAPPING, "a mapping of fields"),
    "string_type": "text",
    "finite_number": "a finite number",
}


def _expectation(problem: Mapping[str, Any]) -> str:
    """Returns the type or range that a field must have, in the words of a job file rather than of Python."""
    if problem["type"] in _KINDS:
        return f"must be {_KINDS[problem['type']]}"
    text: str = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    text = text.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    return text[:1].lower() + text[1:]


def _example(problem: Mapping[str, Any], path: Sequence[Any]) -> str:
    """Returns a hint that shows how a misplaced plain value is written."""
    value = problem.get("input")
    field = next((part for part in reversed(path) if isinstance(part, str)), "")
    if problem["type"] in _LIST and isinstance(value, str):
        return f"write: {field}: [{value!r}]"
    if problem["type"] == "model_type" and isinstance(value, str) and field in ("task", "devices", "strategy"):
        return f"write: {field}: {{name: {value}}}"
    if problem["type"] == "model_type" and field == "objectives":
        return "write: objectives: [{metric: speedup, direction: max}]"
    if value is None:
        return f"give {field or 'it'} a value, or leave the line out"
    return "see: paretune docs job-file"


def _keys_at(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Returns the fields allowed at a path of the model."""
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(str(part))
        candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), model)
    return list(model.model_fields)


class StrategyOptions(BaseModel):
    """Options of a strategy; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def screens(self) -> bool:
        """Whether predictions choose the proposals: all layer tables are then measured before the first candidate."""
        return False


def hide_default(schema: dict[str, Any]) -> None:
    """Removes the default from the schema of a field whose default depends on the job."""
    schema.pop("default")
