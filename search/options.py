"""Validation of options against their pydantic models, with errors in the words of a job file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.corrections import LIST_TYPES, MAPPING_TYPES, how_written

USUAL_TRIALS = 60
"""Candidates of a job, and of each of its stages, unless it says how many."""

_Options = TypeVar("_Options", bound=BaseModel)


def validate_options(model: type[_Options], options: Mapping[str, Any], where: str) -> _Options:
    """Validates options; raises :class:`InvalidInput` that names the field below ``where``."""
    try:
        return model.model_validate(options)
    except ValidationError as error:
        raise explain_error(error, model, where) from None


def make_by_name(
    kinds: Mapping[str, type[Any]], sections: Mapping[str, Mapping[str, Any]], where: str, noun: str
) -> dict[str, Any]:
    """Makes an object of each section: of the class with its name, which has ``Options``, by its options.

    Raises :class:`InvalidInput` that names the field below ``where``, and for an unknown name the nearest ``noun``.
    """
    made = {}
    for name, options in sections.items():
        if name not in kinds:
            raise InvalidInput(f"{where}: unknown {noun} {name!r}", nearest(name, list(kinds)))
        kind = kinds[name]
        made[name] = kind(validate_options(kind.Options, options, f"{where}.{name}"))
    return made


def explain_error(error: ValidationError, model: type[BaseModel], where: str = "") -> InvalidInput:
    """Turns the first mistake of a validation into an error that says what is wrong, where, and how to fix it."""
    # A misspelt field is missing under its right name too: the misspelling says more.
    problem = min(error.errors(), key=lambda mistake: mistake["type"] not in _UNKNOWN_KEY)
    path = [part for part in problem["loc"] if not isinstance(part, str) or part not in ("function-after",)]
    place = ".".join(brief(str(part)) for part in ([where] if where else []) + list(path))
    if problem["type"] in _UNKNOWN_KEY:
        key = path[-1]
        shown = brief(key) if isinstance(key, str) else key
        return InvalidInput(f"{place}: unknown key {shown!r}", nearest(str(shown), _keys_at(model, path[:-1])))
    if problem["type"] == "missing":
        return InvalidInput(f"{place}: missing", f"add the field {str(path[-1])!r}")
    expectation, _, remedy = _expectation(problem).partition("; ")
    shown = "" if problem["type"] == "value_error" else _shown(problem.get("input"))
    return InvalidInput(
        f"{place}: {expectation}{shown}" if place else expectation,
        remedy or how_written(problem, place.split("."), _field_at(model, path)),
    )


def brief(text: str) -> str:
    """Returns a text as a message shows it: the middle of a long one is left out."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Names the field in the message of every :class:`InvalidInput` of the block."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error.message}", error.hint) from None


_LONGEST = 80
_UNKNOWN_KEY = ("extra_forbidden", "invalid_key")
_KINDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(LIST_TYPES, "a list"),
    **dict.fromkeys(MAPPING_TYPES, "a mapping of fields"),
    "string_type": "text",
    "finite_number": "a finite number",
}


def _expectation(problem: Mapping[str, Any]) -> str:
    """Returns the type or range that a field must have, in the words of a job file rather than of Python."""
    if problem["type"] in _KINDS:
        return f"must be {_KINDS[problem['type']]}"
    text: str = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    text = text.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    text = re.sub(r"^\w+ should have (.*?)( after validation)?(?=,|$)", r"must have \1", text, flags=re.IGNORECASE)
    return text[:1].lower() + text[1:]


def _shown(value: Any) -> str:
    """Returns what was written instead, unless it is a list or a mapping."""
    return f", not {brief(repr(value))}" if isinstance(value, str | int | float) else ", but is empty" * (value is None)


def _field_at(model: type[BaseModel], path: Sequence[Any]) -> FieldInfo | None:
    """Returns the field at a path of the model; None for an item of a mapping of options."""
    names = [part for part in path if isinstance(part, str)]
    if not names or names[-1] not in _keys_at(model, path[: path.index(names[-1])]):
        return None
    return _model_at(model, path[: path.index(names[-1])]).model_fields[names[-1]]


def _keys_at(model: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Returns the fields allowed at a path of the model."""
    return list(_model_at(model, path).model_fields)


def _model_at(model: type[BaseModel], path: Sequence[Any]) -> type[BaseModel]:
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(str(part))
        candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
        candidates += [inner for candidate in candidates for inner in get_args(candidate)]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), model)
    return model


class StrategyOptions(BaseModel):
    """Options of a strategy; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @property
    def screens(self) -> bool:
        """Whether predictions choose the proposals: all layer tables are then measured before the first candidate."""
        return False


def hide_default(schema: dict[str, Any]) -> None:
    """Removes the default from the schema of a field whose default depends on the job."""
    schema.pop("default")
