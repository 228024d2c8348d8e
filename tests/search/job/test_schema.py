"""The schema accepts what a job file may hold, and refuses what an editor should mark."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from hwprofiles.errors import InvalidInput
from search.job.schema import json_schema
from search.job.spec import Job, parse_job
from search.strategies import STRATEGIES
from search.tasks import TASKS
from search.techniques import TECHNIQUES
from search.training.recipe import Recipe

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
TASK = {"name": "digits"}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_right(validator: Draft202012Validator, path: Path) -> None:
    assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"devices": ["local-cpu", {"name": "pi", "threads": 2}]},
        {"task": {"name": "./mine.py:make_task", "options": {"anything": 3}}},
        {"space": {"precision": None, "pruning": {"ratios": [0.5]}}},
        {"space": {"precision": {"calibration": "entropy"}}},
        {"space": {"sparsity": {"choices": [0.5, "2:4"]}}},
        {"recovery": {"losses": {"kl": 0.5, "task": {"weight": 1}}}},
        {"recovery": None},
        {"strategy": "random"},
    ],
)
def test_so_are_short_forms(validator: Draft202012Validator, fields: dict[str, Any]) -> None:
    assert list(validator.iter_errors({"task": TASK, **fields})) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"task": {"name": "digts"}},
        {"task": {"name": "digits", "options": {"sise": 3}}},
        {"task": {"name": "onnx", "options": {"data": "a.npz"}}},
        {"strategy": {"name": "nsga"}},
        {"strategy": "nsga"},
        {"strategy": {"options": {"popul": 3}}},
        {"strategy": {"name": "random", "options": {"population": 3}}},
        {"space": {"precison": {}}},
        {"space": {"precision": {"choices": ["fp33"]}}},
        {"device": "local-cpu"},
    ],
)
def test_mistakes_are_marked(validator: Draft202012Validator, fields: dict[str, Any]) -> None:
    assert list(validator.iter_errors({"task": TASK, **fields}))


def test_every_field_is_described() -> None:
    schema = json_schema()
    places = {"": schema, **schema["$defs"]}
    fields = {
        f"{place}.{name}": field for place, part in places.items() for name, field in part.get("properties", {}).items()
    }
    assert [name for name, field in fields.items() if not field.get("description")] == []


class RandomJobs:
    """Random jobs drawn from the models of the job file, of which the parser accepts most."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def job(self) -> dict[str, Any]:
        drawn = self.fields(Job)
        names = sorted(TECHNIQUES)
        chosen = self.random.sample(names, self.random.randint(0, len(names)))
        drawn["task"] = self.named(TASKS)
        drawn["strategy"] = self.named(STRATEGIES)
        drawn["space"] = {name: self.random.choice([None, self.fields(TECHNIQUES[name].Options)]) for name in chosen}
        drawn["devices"] = self.random.choice([["local-cpu"], [{"name": "dry-run", "batch": 2}], ["dry-run"]])
        drawn["constraints"] = self.random.sample(["accuracy >= 0.9", "latency_ms.p90 <= baseline * 0.5"], 1)
        drawn["objectives"] = [
            {
                "metric": self.random.choice(["speedup", "cosine", "mine"]),
                "direction": self.random.choice(["max", "min"]),
            }
        ]
        drawn["recovery"] = self.random.choice([None, self.fields(Recipe) | {"losses": {"kl": 0.5, "task": {}}}])
        keys = self.random.sample(sorted(drawn), self.random.randint(0, len(drawn)))
        return {key: drawn[key] for key in {*keys, "task"}}

    def named(self, registry: Any) -> dict[str, Any]:
        name = self.random.choice(sorted(registry))
        return {"name": name, "options": self.fields(registry[name].Options)}

    def fields(self, model: type[BaseModel]) -> dict[str, Any]:
        schema = model.model_json_schema()
        names = [*schema.get("required", ()), *(name for name in schema["properties"] if self.random.random() < 0.5)]
        return {name: self.value(schema["properties"][name], schema) for name in dict.fromkeys(names)}

    def value(self, schema: dict[str, Any], whole: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self.value(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
        if "anyOf" in schema:
            return self.value(self.random.choice(schema["anyOf"]), whole)
        for key in ("enum", "const"):
            if key in schema:
                return self.random.choice(schema[key]) if key == "enum" else schema[key]
        kind = schema.get("type")
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 9))
        match kind:
            case "null":
                return None
            case "boolean":
                return self.random.random() < 0.5
            case "integer":
                return self.random.randint(low + ("exclusiveMinimum" in schema), high)
            case "number":
                return self.random.choice([low + (high - low) * self.random.uniform(0.1, 0.9), min(high, low + 1)])
            case "array":
                least = schema.get("minItems", 0)
                return [
                    self.value(schema.get("items", {}), whole) for _ in range(self.random.randint(least, least + 2))
                ]
            case "object":
                return {key: self.value(part, whole) for key, part in schema.get("properties", {}).items()}
            case _:
                return self.random.choice(["a", "model.onnx", "0.5", "int4", "onnxruntime"])


def accepted(seed: int) -> dict[str, Any] | None:
    data = RandomJobs(seed).job()
    try:
        parse_job(data, folder=Path())
    except InvalidInput:
        return None
    return data


def test_what_the_parser_accepts_the_schema_accepts(validator: Draft202012Validator) -> None:
    jobs = [job for job in map(accepted, range(300)) if job is not None]
    assert len(jobs) > 40
    for job in jobs:
        resolved = parse_job(job, folder=Path()).model_dump(mode="json")
        for data in (job, resolved):
            assert [error.message for error in validator.iter_errors(data)] == [], data


def test_no_place_takes_an_unknown_key(validator: Draft202012Validator) -> None:
    for job in filter(None, map(accepted, range(40))):
        for place in mappings(job):
            place["unheard_of"] = 1
            assert list(validator.iter_errors(job)), job
            with pytest.raises(InvalidInput):
                parse_job(job, folder=Path())
            del place["unheard_of"]


def mappings(data: Any) -> list[dict[str, Any]]:
    """Every mapping of a job, apart from the options of losses, which only the parser knows."""
    if isinstance(data, dict):
        return [data, *(place for key, item in data.items() if key != "losses" for place in mappings(item))]
    return [place for item in data for place in mappings(item)] if isinstance(data, list) else []
