"""Every number of a job file has an upper bound; what is beyond it, or cannot be read, is a plain mistake."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hwprofiles.errors import InvalidInput
from search.bounds import MOST, MOST_AT_ONCE, MOST_SEED
from search.job.schema import json_schema
from search.job.spec import load_job, parse_job
from search.training.loss_names import LOSSES
from search.training.losses import Loss

UPPER = ("maximum", "exclusiveMaximum", "enum", "const")
HUGE = (10**30, -(10**30), 10**400, 1e300, math.inf, -math.inf, math.nan)


def unbounded(node: Any, place: str = "", bounded: bool = False) -> Iterator[str]:
    """Yields the places of a schema with numbers that have no upper bound."""
    if isinstance(node, dict):
        bounded = bounded or any(key in node for key in UPPER)
        if node.get("type") in ("integer", "number") and not bounded:
            yield place
        for key, value in node.items():
            yield from unbounded(value, f"{place}.{key}", bounded and key == "anyOf")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from unbounded(value, f"{place}.{number}", bounded)


def refused(**fields: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_job({"task": {"name": "digits"}, "devices": ["dry-run"], **fields}, folder=Path())
    message, hint = caught.value.message, caught.value.hint
    assert message
    assert hint
    assert "\n" not in message + hint
    assert len(message) < 300
    return caught.value


def test_every_number_of_the_schema_has_an_upper_bound() -> None:
    assert list(unbounded(json_schema())) == []


@pytest.mark.parametrize("name", LOSSES)
def test_every_number_of_a_loss_has_one(name: str) -> None:
    loss: type[Loss] = LOSSES[name]
    options: type[BaseModel] = loss.Options
    found = list(unbounded(options.model_json_schema()))
    assert [place for place in found if "classes" not in place] == []


@pytest.mark.parametrize("value", HUGE, ids=lambda value: f"{value!r:.12}")
def test_a_huge_number_is_refused_everywhere(value: float) -> None:
    for fields in (
        {"budget": {"trials": value}}, {"budget": {"minutes": value}}, {"budget": {"batch": value}},
        {"budget": {"parallel": value}},
        {"devices": [{"name": "dry-run", "threads": value}]}, {"devices": [{"name": "dry-run", "batch": value}]},
        {"seed": value}, {"limits": {"training_s": value}}, {"limits": {"memory_bytes": value}},
        {"limits": {"gpus": value}}, {"recovery": {"epochs": value}}, {"recovery": {"learning_rate": value}},
        {"recovery": {"gradient_clip": value}}, {"recovery": {"losses": {"kl": value}}},
        {"strategy": {"name": "nsga2", "options": {"population": value}}},
        {"strategy": {"name": "random", "options": {"batch": value}}},
        {"space": {"pruning": {"ratios": [value]}}}, {"space": {"pruning": {"round": value}}},
        {"space": {"sparsity": {"choices": [value]}}}, {"space": {"precision": {"calibration_samples": value}}},
        {"task": {"name": "digits", "options": {"epochs": value}}},
        {"space": {"student": {}}, "filters": {"zico": {"after": value}}},
        {"space": {"student": {}}, "filters": {"parameters": {"most": value}}},
    ):  # fmt: skip
        refused(**fields)


def test_what_is_shown_of_it_is_short() -> None:
    assert refused(budget={"trials": 10**30}).message == f"budget.trials: must be at most {MOST}, not {10**30}"
    assert len(refused(budget={"trials": 10**4000}).message) < 150
    assert len(refused(name="n" * 5000).message) < 150
    assert len(refused(**{"k" * 5000: 1}).message) < 250


@pytest.mark.parametrize(
    "fields",
    [
        {"constraints": ["latency_ms <= 1e400"]}, {"constraints": ["accuracy >= baseline - 1e999"]},
        {"constraints": ["accuracy >= 0.5"] * 101}, {"devices": ["dry-run"] * 101},
        {"space": {"sparsity": {"choices": [[1]]}}}, {"space": {"sparsity": {"choices": ["1:" + "9" * 5000]}}},
        {"space": {"sparsity": {"choices": [f"1:{MOST_AT_ONCE + 1}"]}}},
    ],
    ids=lambda fields: next(iter(fields)),
)  # fmt: skip
def test_other_things_that_are_too_large(fields: dict[str, Any]) -> None:
    refused(**fields)


def test_deep_nesting() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    for fields in ({"space": deep}, {"task": deep}, {"devices": deep}, {"space": {"precision": {"choices": deep}}}):
        refused(**fields)


def test_the_largest_are_taken() -> None:
    job = parse_job(
        {"task": {"name": "digits"}, "devices": ["dry-run"], "seed": MOST_SEED, "budget": {"trials": MOST}},
        folder=Path(),
    )
    assert (job.seed, job.budget.trials) == (MOST_SEED, MOST)


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "2026-99-99", "9" * 5000, "!!int x", "!!float x", "!!timestamp x"],
    ids=lambda text: text[:10],
)
def test_text_that_yaml_cannot_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.yaml").write_text(f"task: {{name: digits}}\nname: {text}\n")
    with pytest.raises(InvalidInput, match=r"job\.yaml (has a number or a date that cannot be read|is not YAML)"):
        load_job(tmp_path / "job.yaml")


@pytest.mark.parametrize("key", ["? [1]\n: 2", "? {a: 1}\n: 2"])
def test_keys_that_are_no_names(tmp_path: Path, key: str) -> None:
    (tmp_path / "job.yaml").write_text(f"{key}\n")
    with pytest.raises(InvalidInput, match="is not YAML"):
        load_job(tmp_path / "job.yaml")
