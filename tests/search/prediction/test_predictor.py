"""From layer tables to predictions: what they say, what a correction adds, how well they hold."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costed_device import CostedDevice
from number_formats import number_formats
from onnx_builder import Builder

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import save_model
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from hwprofiles import find_device
from search.job.facts import JobFacts, StructureTable
from search.json_cache import JsonCache
from search.prediction.accuracy import ENOUGH, Assessment, Assessments
from search.prediction.correction import Correction, accuracy, leave_one_out
from search.prediction.predictor import LayerSum, Predictor
from search.prediction.tables import measure_layer_tables, structural_names, structure_of
from search.space.candidate import Decision, Space
from search.states import TrialState
from search.store import TrialRow
from search.techniques import Draft, Subject
from search.techniques.precision import PrecisionTechnique

SAMPLE = {"x": np.random.default_rng(0).standard_normal((1, 16, 32, 32)).astype(np.float32)}


@pytest.fixture(scope="module")
def technique(tmp_path_factory: pytest.TempPathFactory) -> PrecisionTechnique:
    builder = Builder(17)
    x = builder.input("x", [1, 16, 32, 32])
    for _ in range(5):
        x = builder.op("Relu", builder.op("Conv", x, builder.weight(16, 16, 3, 3), pads=[1] * 4, kernel_shape=[3, 3]))
    builder.output(x, shape=[1, 16, 32, 32])
    model = clean_graph(builder.model())
    subject = Subject(
        model=model, groups=layer_groups(model), digest="a model", sample=SAMPLE,
        calibration_batches=lambda count: [SAMPLE], cache=tmp_path_factory.mktemp("cache"),
        profile=find_device("local-cpu"), wanted=frozenset(),
    )  # fmt: skip
    return PrecisionTechnique(subject, PrecisionTechnique.Options(activations="uint8"))


@pytest.fixture(scope="module")
def space(technique: PrecisionTechnique) -> Space:
    decisions = (
        Decision(f"precision:{group.name}", ("fp32", "int8"), "precision", target=group.name, scope="layer")
        for group in technique.subject.groups
    )
    return Space(tuple(decisions), "")


def tables_of(device: CostedDevice, technique: PrecisionTechnique, space: Space, cache: Path, **options: Any) -> Any:
    draft = Draft(technique.subject.model, technique.subject.groups)
    return measure_layer_tables(
        device, space, {"precision": technique}, draft, SAMPLE, subject="a model", cache=cache, **options
    )


def true_time(device: CostedDevice, technique: PrecisionTechnique, decisions: dict[str, str], folder: Path) -> float:
    draft = Draft(technique.subject.model, technique.subject.groups)
    save_model(draft.model, folder / "fp32.onnx")
    save_model(technique.apply(draft, decisions).model, folder / "built.onnx")
    return device.us(folder / "built.onnx") / device.us(folder / "fp32.onnx")


def test_sums_are_shares_of_the_baseline(technique: PrecisionTechnique, space: Space, tmp_path: Path) -> None:
    device = CostedDevice(convert_us=2e-3)
    tables = tables_of(device, technique, space, tmp_path)
    stored = json.loads(json.dumps([table.to_dict() for table in tables]))
    predictor = Predictor(list(map(StructureTable.from_dict, stored)), space)
    assert predictor.layers == 5
    for values in itertools.product(("fp32", "int8"), repeat=5):
        decisions = dict(zip((d.name for d in space.decisions), values, strict=True))
        found = predictor.sum(decisions)
        assert found is not None
        assert found.time == pytest.approx(true_time(device, technique, decisions, tmp_path), rel=1e-6)
        assert predictor.speedup(decisions) == pytest.approx(1 / found.time)
    assert predictor.sum(space.baseline().decisions) == LayerSum(1.0, 0.0, 0.0)


def test_without_a_table_nothing_is_predicted(space: Space) -> None:
    predictor = Predictor([], space)
    assert predictor.layers == 0
    assert predictor.speedup(space.baseline().decisions) is None
    assert Assessment(predictor).document([("digest", space.baseline().decisions, 1.0)]) is None
    assert Assessments(JobFacts(), space, ("local-cpu",)).document([]) is None


def test_a_structure_without_a_table_is_not_predicted(
    technique: PrecisionTechnique, space: Space, tmp_path: Path
) -> None:
    wider = replace(space, decisions=(Decision("graph", ("plain", "fused"), "graph"), *space.decisions))
    (first, second) = tables_of(CostedDevice(), technique, wider, tmp_path)
    assert (first.values, second.values) == ({"graph": "plain"}, {"graph": "fused"})
    predictor = Predictor([first], wider)
    assert predictor.speedup(wider.baseline().decisions) == pytest.approx(1.0)
    assert predictor.speedup(wider.baseline().decisions | {"graph": "fused"}) is None


def test_what_executes_on_another_device_chooses_no_table() -> None:
    decisions = (
        Decision("precision:a", ("fp32", "int8"), "precision", target="a", scope="layer"),
        Decision("graph", ("plain", "fused"), "graph"),
        Decision("runtime", ("x", "y"), "runtime", scope="device"),
        Decision("runtime@phone", ("x", "y"), "runtime", scope="device", device="phone"),
        Decision("calibration", ("minmax", "entropy"), "calibration"),
    )
    space = Space(decisions, "")
    assert structural_names(space) == ("graph", "runtime")
    assert structural_names(space, "phone") == ("graph", "runtime@phone")
    values = space.baseline().decisions
    assert structure_of(values, structural_names(space)) == {"graph": "plain", "runtime": "x"}


def test_answers_serve_the_next_job(technique: PrecisionTechnique, space: Space, tmp_path: Path) -> None:
    first, again = CostedDevice(), CostedDevice()
    tables = tables_of(first, technique, space, tmp_path)
    assert first.asked
    assert tables_of(again, technique, space, tmp_path) == tables
    assert again.asked == []
    assert len(JsonCache(tmp_path / "layers")) == len(first.asked)


def test_another_device_executes_files_in_the_first_one_s_format(
    technique: PrecisionTechnique, space: Space, tmp_path: Path
) -> None:
    """Nobody chose a number format for its runtimes. One of them answers for the integers of all."""

    class Recording(CostedDevice):
        def measure(self, request: LatencyRequest) -> Measurement:
            question = request.runtime, frozenset(number_formats(request.candidate))
            self.questions = {*getattr(self, "questions", set()), question}
            return super().measure(request)

    specs = ("openvino:f32", "openvino:bf16")
    wider = replace(
        space, decisions=(Decision("runtime@phone", specs, "runtime", scope="device", device="phone"), *space.decisions)
    )
    device = Recording()
    tables = tables_of(device, technique, wider, tmp_path, label="phone")
    assert [one.values for one in tables] == [{"runtime@phone": spec} for spec in specs]
    assert {runtime for runtime, kinds in device.questions if kinds} == {"openvino:f32"}
    assert {kinds for _, kinds in device.questions} == {frozenset(), frozenset({"uint8"})}


def test_no_more_tables_than_asked_for(technique: PrecisionTechnique, space: Space, tmp_path: Path) -> None:
    wider = replace(space, decisions=(Decision("graph", ("plain", "fused"), "graph"), *space.decisions))
    (only,) = tables_of(CostedDevice(), technique, wider, tmp_path, most=1)
    assert only.values == {"graph": "plain"}


def test_no_time_gives_no_table(technique: PrecisionTechnique, space: Space, tmp_path: Path) -> None:
    assert tables_of(CostedDevice(), technique, space, tmp_path, limit_s=0.0) == ()


def sums(count: int, seed: int = 0) -> list[LayerSum]:
    rng = np.random.default_rng(seed)
    return [LayerSum(*map(float, row)) for row in rng.uniform((0.2, 0.0, 0.0), (1.0, 0.5, 0.5), (count, 3))]


def test_the_correction_finds_what_boundaries_cost() -> None:
    known = sums(40)
    times = [found.time + 0.1 * (1 - found.time) + 0.3 * found.entering + 0.2 * found.leaving for found in known]
    correction = Correction.fit(known, times)
    assert correction.gained == pytest.approx(0.1, rel=0.1)
    assert correction.entering == pytest.approx(0.3, rel=0.1)
    assert correction.leaving == pytest.approx(0.2, rel=0.1)
    for found in sums(10, seed=1):
        true = found.time + 0.1 * (1 - found.time) + 0.3 * found.entering + 0.2 * found.leaving
        assert correction.time(found) == pytest.approx(true, rel=0.02)
        assert abs(correction.time(found) - true) < abs(found.time - true)


def test_the_baseline_is_never_corrected() -> None:
    correction = Correction.fit(sums(5), [0.5] * 5)
    assert correction != Correction()
    assert correction.time(LayerSum(1.0, 0.0, 0.0)) == 1.0


def test_nothing_known_corrects_nothing() -> None:
    assert Correction.fit([], []) == Correction()


def test_nobody_is_predicted_by_itself() -> None:
    """The quick way of leaving each out gives what fitting without it gives."""
    known, rng = sums(12), np.random.default_rng(3)
    times = [found.time * float(factor) for found, factor in zip(known, rng.uniform(0.8, 1.4, 12), strict=True)]
    slow = [
        Correction.fit(known[:place] + known[place + 1 :], times[:place] + times[place + 1 :]).time(found)
        for place, found in enumerate(known)
    ]
    assert leave_one_out(known, times) == pytest.approx(slow)


def test_accuracy() -> None:
    found = accuracy([0.5, 0.6, 0.8, 1.0], [0.4, 0.6, 1.0, 0.9])
    assert found["n"] == 4
    assert found["tau"] == pytest.approx(2 / 3)  # five of six pairs in order
    assert found["relative_error"]["median"] == pytest.approx((0.2 + 1 / 9) / 2)
    assert accuracy([], []) == {"n": 0, "tau": None, "relative_error": None}
    assert accuracy([1.0, 1.0], [1.0, 2.0])["tau"] is None


def rows(technique: PrecisionTechnique, space: Space, device: CostedDevice, folder: Path) -> list[TrialRow]:
    found = []
    for number, values in enumerate(itertools.product(("fp32", "int8"), repeat=5)):
        candidate = space.candidate(dict(zip((d.name for d in space.decisions), values, strict=True)))
        speedup = 1 / true_time(device, technique, candidate.decisions, folder)
        found.append(
            TrialRow(
                candidate_id=str(number), job_id="job", number=number, block=0, digest=candidate.digest,
                decisions=candidate.decisions, strategy="random", simulated=False, state=TrialState.DONE, reason=None,
                metrics={"speedup": {"ratio": speedup, "ci95": [speedup, speedup]}}, artifact_sha256=None, wall_s=0.0,
            )
        )  # fmt: skip
    return found


def test_a_job_is_told_how_well_it_is_predicted(technique: PrecisionTechnique, space: Space, tmp_path: Path) -> None:
    """The machine charges for boundaries that single layers never show; the correction learns them."""
    shown, true = CostedDevice(convert_us=1e-4), CostedDevice(convert_us=2e-3)
    facts = JobFacts(layer_tables={"local-cpu": tables_of(shown, technique, space, tmp_path)})
    assessments = Assessments(facts, space, ("local-cpu",))
    measured = rows(technique, space, true, tmp_path)
    few = assessments.document(measured[:ENOUGH])
    assert few is not None
    assert few["local-cpu"]["corrected"] is None
    failed = replace(measured[0], state=TrialState.CRASHED, metrics={})
    document = assessments.document([*measured, failed])
    assert document is not None
    plain, corrected = document["local-cpu"]["plain"], document["local-cpu"]["corrected"]
    assert plain["n"] == corrected["n"] == 32
    assert corrected["tau"] > max(0.9, plain["tau"])
    assert corrected["relative_error"]["median"] < plain["relative_error"]["median"] / 3
    assert document["local-cpu"]["correction"]["entering"] > 0
    assert json.loads(json.dumps(document)) == document


def test_a_candidate_without_a_speed_up_is_not_counted(
    technique: PrecisionTechnique, space: Space, tmp_path: Path
) -> None:
    facts = JobFacts(layer_tables={"here": (), "there": tables_of(CostedDevice(), technique, space, tmp_path)})
    row = rows(technique, space, CostedDevice(), tmp_path)[0]
    both = replace(row, metrics={**row.metrics, "speedup@there": {"ratio": 1.0, "ci95": [1.0, 1.0]}})
    document = Assessments(facts, space, ("here", "there")).document([row, both])
    assert document is not None
    assert list(document) == ["there"]
    assert document["there"]["plain"]["n"] == 1
