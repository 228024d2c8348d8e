"""``docs/architecture.md`` knows every wing, and answers where things are changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
WINGS = PAGE.partition("## Wings")[2].partition("\n## ")[0]
WHERE = PAGE.partition("## Where do I change")[2].partition("\n## ")[0]
PACKAGES = ("evaluators", "search", "dashboards")


def rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def paths(cell: str) -> list[str]:
    return re.findall(r"`([\w/.]+)`", cell)


def test_every_wing_has_a_row() -> None:
    folders = {f"{path.parent.relative_to(ROOT)}/" for name in PACKAGES for path in (ROOT / name).glob("*/__init__.py")}
    modules = {str(path.relative_to(ROOT)) for name in PACKAGES for path in (ROOT / name).glob("[a-z]*.py")}
    listed = [path for row in rows(WINGS) for path in paths(row[0])]
    assert sorted(listed) == sorted({"hwprofiles/", "paretune/", *folders, *modules})


@pytest.mark.parametrize("row", rows(WINGS), ids=lambda row: row[0].strip("`"))
def test_every_wing_has_tests(row: list[str]) -> None:
    (place,) = paths(row[3])
    assert (ROOT / place).exists()


@pytest.mark.parametrize("row", rows(WHERE), ids=lambda row: row[0])
def test_places_exist(row: list[str]) -> None:
    places = [path for path in paths(row[1]) if "/" in path or path.endswith(".toml")]
    assert places
    assert all((ROOT / place).exists() for place in places)


def test_there_are_enough_entries() -> None:
    assert len(rows(WHERE)) >= 30


QUESTIONS = {
    "the key `halving` of a recipe of recovery": ("how a changed module is trained", "search/training/recover.py"),
    "the order of paired measurements is drawn at random": ("paired measurements", "evaluators/measuring/order.py"),
    "percentiles get the inferences that they need": ("percentiles", "search/fronts/objectives.py"),
    "fronts name the runtime of a candidate": ("a JSON document", "dashboards/documents/report.py"),
    "unknown metrics are refused with the nearest name": ("metrics' names", "search/job/metric_names.py"),
    "the schema accepts short forms": ("JSON Schema", "search/job/schema.py"),
    "values below 1 never read as 1": ("rounded", "dashboards/figures.py"),
    "receipts are inconclusive on a busy machine": ("verdict of a receipt", "search/export/verdict.py"),
    "a machine is throttled or drifted": ("noisy", "evaluators/health/verdict.py"),
    "the fastest type of cores is measured on": ("which cores", "hwprofiles/core_types.py"),
    "calibration by entropy": ("calibrated", "evaluators/quantize/calibration.py"),
    "layers that read a constant are no layers": ("left alone", "evaluators/graphs/left_alone.py"),
    "float16 models are converted": ("half precision", "evaluators/graphs/widening.py"),
    "three failures in a row stop the job": ("ends failed", "search/controller/failures.py"),
    "Ray listens on the loopback alone": ("Ray is started", "search/controller/ray_cluster.py"),
    "the front is chosen by one measurement and reports another": ("at the end", "search/controller/final_plan.py"),
    "what gained while preparing is tried first": ("tried first", "search/space/promising.py"),
    "weights of 7 bits where int8 saturates": ("reduced range", "search/gains/reduced_range.py"),
    "models are named by their external weights too": ("names a model", "search/tasks/onnx.py"),
    "a new column of trials": ("column", "search/store/models.py"),
}
"""Taken from the changelog before the wings were made: what was changed, words that its row has, and where it is."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_table_answers(question: str) -> None:
    words, place = QUESTIONS[question]
    (row,) = [row for row in rows(WHERE) if words in f"{row[0]} {row[1]}"]
    assert place in paths(row[1])
