"""The facts of a prepared job, and their JSON."""

from __future__ import annotations

import json
from pathlib import Path

from evaluators.graphs.layer_groups import LayerGroup
from evaluators.probing.layer_table import LayerTable, Tensor, Unit, UnitTime
from evaluators.quantize import Scheme
from hwprofiles import Precision
from search.fronts.reference import Reference
from search.job.facts import JobFacts, StructureTable
from search.space.encoding import UnitEncoding
from search.space.layer_changes import LayerWidth

MODEL_KEYS = {"subject", "model_path", "model_sha256", "groups", "shared_split", "notes", "digests"}

UNIT = Unit(
    "stem", ("/stem",), "key", {"int8": UnitTime(Precision.INT8, 0.5, 0.1, 4.0, (3.9, 4.1))}, {"float": 0.0}
)  # fmt: skip
TABLE = LayerTable((UNIT,), (Tensor(9, (0,), (), False, True, {"float": 0.1}),), 2.0, 0.1, 0.2)

DRY_RUN = JobFacts(
    subject="model and data",
    model_path=Path("/cache/models/a.onnx"),
    model_sha256="a",
    groups=(LayerGroup("stem", ("/stem",), "Conv", (Precision.FP32, Precision.INT8), 30, 9, 5),),
    digests={"model": "a"},
)

MEASURED = JobFacts(
    **vars(DRY_RUN)
    | {
        "shared_split": True,
        "notes": ("the splits share samples",),
        "static_schemes": {"onnxruntime": Scheme("int8", symmetric_activations=True)},
        "layer_changes": (LayerWidth("stem", "/stem", 30, 9, 5, 4, outputs=(("pruning:stem", 1.0),)),),
        "encodings": {"stem#keep": UnitEncoding("conv", 3, 1, 1, 8, ends_skip=True)},
        "coverage": {"layers": 1, "decided": 1},
        "device_answers": ({"precision": "int8", "ratio": 2.0},),
        "baseline_measurements": {"local-cpu": {"verdict": "stable"}},
        "references": {"local-cpu": Reference(4.0)},
        "layer_tables": {"local-cpu": (StructureTable({"graph": "plain"}, TABLE),)},
        "no_layer_tables": {"phone": "not made"},
        "layer_times": TABLE,
        "measuring_s": {"latency": 4.0, "beside": 1.0},
        "preparing_s": {"exporting the model": 3.0},
        "time_s": {"preparing": 9.0},
        "ending": {"reason": "time", "text": "no time"},
    }
)


def test_facts_survive_json() -> None:
    for facts in (JobFacts(), DRY_RUN, MEASURED):
        assert JobFacts.from_dict(json.loads(json.dumps(facts.to_dict(), allow_nan=False))) == facts


def test_the_keys_are_those_of_earlier_versions() -> None:
    assert set(DRY_RUN.to_dict()) == MODEL_KEYS
    assert set(MEASURED.to_dict()) == MODEL_KEYS | {
        "formats", "scales", "encodings", "coverage", "device_answers", "baseline_measurements", "references",
        "layer_tables", "no_layer_tables", "layer_times", "measuring_s", "preparing_s", "time_s", "ending",
    }  # fmt: skip
    assert MEASURED.to_dict()["layer_tables"]["local-cpu"][0]["values"] == {"graph": "plain"}
    assert MEASURED.to_dict()["formats"]["onnxruntime"]["activation_type"] == "int8"
    assert MEASURED.to_dict()["references"] == {"local-cpu": {"latency_ms": 4.0, "energy_mj": None, "per_s": None}}


def test_a_measured_job_has_the_keys_of_what_gave_nothing() -> None:
    """Such as the answers of a device that was asked nothing."""
    facts = JobFacts(baseline_measurements=MEASURED.baseline_measurements).to_dict()
    assert (facts["device_answers"], facts["layer_tables"]) == ([], {})
    assert "coverage" not in facts


def test_facts_of_other_versions_are_read() -> None:
    assert JobFacts.from_dict({}) == JobFacts()
    assert JobFacts.from_dict({"subject": "x", "of another version": 1}) == JobFacts(subject="x")


def test_a_device_without_reference_has_an_empty_one() -> None:
    assert MEASURED.reference("local-cpu") == Reference(4.0)
    assert JobFacts().reference("local-cpu") == Reference()
