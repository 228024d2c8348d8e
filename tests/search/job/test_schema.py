"""The schema accepts what a job file may hold, and refuses what an editor should mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from search.job.schema import json_schema

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
        {"strategy": {"options": {"popul": 3}}},
        {"strategy": {"name": "random", "options": {"population": 3}}},
        {"space": {"precison": {}}},
        {"space": {"precision": {"choices": ["fp33"]}}},
        {"device": "local-cpu"},
    ],
)
def test_mistakes_are_marked(validator: Draft202012Validator, fields: dict[str, Any]) -> None:
    assert list(validator.iter_errors({"task": TASK, **fields}))
