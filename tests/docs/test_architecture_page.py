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
    "the key `halving` of a recipe of recovery": ("key of the recipe", "search/training/recipe.py", "halving: int"),
    "the best 1 / halving of all trainings goes on": ("falls behind", "search/training/asha.py", "class Halving"),
    "a stored variant is held to `halving` too": ("falls behind", "search/trials/module_variants.py", "goes_on("),
    "the order of paired measurements is drawn at random": (
        "paired measurements", "evaluators/measuring/order.py", "draw_first_to_time",
    ),
    "percentiles get the inferences that they need": (
        "percentile gets", "evaluators/measuring/latency.py", "protocol.samples if protocol.fits",
    ),
    "fronts name the runtime of a candidate": ("a JSON document", "dashboards/documents/report.py", "def runtime"),
    "unknown metrics are refused with the nearest name": ("metrics' names", "search/job/metric_names.py", "nearest("),
    "the schema accepts short forms": ("JSON Schema", "search/job/schema.py", "short forms"),
    "values below 1 never read as 1": ("rounded", "dashboards/figures.py", "reading as 1"),
    "receipts are inconclusive on a busy machine": (
        "verdict of a receipt", "search/export/verdict.py", "Verdict.INCONCLUSIVE",
    ),
    "a machine is throttled or drifted": ("noisy", "evaluators/health/verdict.py", "throttled"),
    "the fastest type of cores is measured on": ("which cores", "hwprofiles/core_types.py", "fastest first"),
    "calibration by entropy": ("calibrated", "evaluators/quantize/calibration.py", '"entropy"'),
    "layers that read a constant are no layers": ("left alone", "evaluators/graphs/left_alone.py", "reads_constant("),
    "float16 models are converted": ("half precision", "evaluators/graphs/widening.py", "TensorProto.FLOAT16"),
    "three disturbances in a row stop the job": (
        "disturbances in a row", "search/controller/scheduler.py", "TROUBLES_IN_A_ROW = 3",
    ),
    "five failures alike stop the job": ("ends failed", "search/controller/failures.py", "IN_A_ROW = 5"),
    "Ray listens on the loopback alone": ("Ray is started", "search/controller/ray_cluster.py", "LOOPBACK"),
    "the front is chosen by one measurement and reports another": (
        "at the end", "search/controller/final_plan.py", "FINAL",
    ),
    "what gained while preparing is tried first": ("tried first", "search/space/promising.py", "promising_settings"),
    "weights of 7 bits where int8 saturates": ("reduced range", "search/gains/reduced_range.py", "def may_saturate"),
    "models are named by their external weights too": ("names a model", "search/tasks/onnx.py", "external"),
    "a new column of trials": ("column", "search/store/models.py", "class Trial"),
    "the heat map of a device's capability": ("heat map", "dashboards/web/heat.py", "capability_context"),
    "energy is counted by RAPL": ("energy is measured", "evaluators/measuring/energy.py", "class Rapl"),
    "several streams at once": ("throughput is measured", "evaluators/measuring/throughput.py", "streams"),
    "the bound of a roofline": ("rooflines", "evaluators/modelled/roofline.py", "def layer_ms"),
    "predictions are corrected by measurements": ("corrected", "search/prediction/correction.py", "class Correction"),
    "the error of predictions, as it is shown": ("its error", "search/prediction/accuracy.py", "def document"),
    "built engines are stored": ("engine cache", "evaluators/runtimes/engine_store.py", "class EngineStore"),
    "why a model is not faster": ("bottlenecks", "search/analysis/bottlenecks.py", "def find_bottlenecks"),
    "the reference point of the hypervolume": ("hypervolume", "search/fronts/pareto.py", "def reference_point"),
    "milliseconds are ratios times the fp32 model's": (
        "ratios are multiplied by", "search/fronts/reference.py", "class Reference",
    ),
    "what a cold start contains": ("cold and warm", "evaluators/measuring/startup.py", "cold"),
    "each layer is timed in each precision": (
        "layer tables are measured", "evaluators/probing/layer_timing.py", "def measure_table",
    ),
    "the steps in which latency grows": ("steps of widths", "evaluators/probing/granularity.py", "def granularity"),
    "precisions that never pay are not asked about": (
        "never pays", "evaluators/probing/capability.py", "def hopeless_precisions",
    ),
    "how bit-operations are counted": ("bit-operations", "evaluators/graphs/bit_operations.py", "def bit_operations"),
    "an adapter's precision": (
        "changed model's layers", "evaluators/graphs/changed_layers.py", "def under_first_names",
    ),
}  # fmt: skip
"""What somebody wants to change: words that its row has, the file that the row names, and text of the code there."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_table_answers(question: str) -> None:
    words, place, text = QUESTIONS[question]
    (row,) = [row for row in rows(WHERE) if words in f"{row[0]} {row[1]}"]
    assert place in paths(row[1])
    assert text in (ROOT / place).read_text()
