"""The OpenAPI document: what FastAPI does not know of the routes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from dashboards.service.exporting import ExportOptions
from dashboards.service.submission import Submission, SubmittedOptions

_REF = "#/components/schemas/{model}"
_PROBLEM = "application/problem+json"
_BODIES = (Submission, SubmittedOptions, ExportOptions)


class Problem(BaseModel):
    """What is wrong with a request, as RFC 9457 has it."""

    type: str = Field(description="The kind of problem, as a URN")
    title: str = Field(description="The kind of problem, for people")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What is wrong")
    instance: str | None = Field(None, description="The path that was asked for")
    hint: str | None = Field(None, description="How to mend it")


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Returns what the document says of a request's body, which the service checks."""
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def describe(document: dict[str, Any]) -> None:
    """Adds to the document the bodies of requests, and the problem that every operation may answer."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (*_BODIES, Problem):
        schema = model.model_json_schema(ref_template=_REF)
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    answer = {
        "description": "What is wrong, and how to mend it",
        "content": {_PROBLEM: {"schema": {"$ref": _REF.format(model=Problem.__name__)}}},
    }
    for path in document["paths"].values():
        for operation in path.values():
            # FastAPI would describe its own answer to invalid parameters, which is a problem too.
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = answer
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
