"""Metrics of devices that measure nothing, and predictions: what decisions do to the costs of layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import token_net
from costed_device import CostedDevice
from inline_search import InlineSandbox, with_device, without_ray
from small_jobs import spec
from toy_plugin.low_rank import LowRank
from toy_plugin.merging import TokenMerging

from evaluators.graphs.changed_layers import under_first_names
from evaluators.graphs.layer_cost import CostFactors, LayerCost
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.modelled.roofline import layer_ms
from evaluators.probing.layer_table import LayerTable, Tensor, Unit, UnitTime
from hwprofiles import Precision, find_device
from search.controller.controller import Controller
from search.controller.submission import submit
from search.job.devices import JobDevice
from search.job.facts import JobFacts, StructureTable
from search.job.spec import parse_job
from search.prediction.modelled import ModelledJob, bounds, invent_metrics
from search.prediction.predictor import LayerSum, Predictor
from search.space.candidate import Decision, Space
from search.space.layer_changes import CostTable, LayerChange, costs_left, read_change
from search.states import JobState
from search.store import Store
from search.techniques import ModuleTechnique, Offer, Subject
from search.trials.module_variants import ModuleVariants

P = tuple(Precision)
GROUPS = (
    LayerGroup("stem", ("/stem/Conv",), "Conv", P, 5_000_000, 1_000, 70_000),
    LayerGroup("body", ("/body/1/Conv", "/body/2/Conv"), "Conv", P, 40_000_000, 80_000, 131_072),
    LayerGroup("head", ("/head/Gemm",), "Gemm", P, 250_000, 250_000, 1_500),
)


def width(node: str, macs: int, weights: int, read: int, written: int, **reach: Any) -> dict[str, Any]:
    """A row of ``scales`` as jobs have always stored it."""
    sizes = {"macs": macs, "weights": weights, "read": read, "written": written}
    group = node.split("/")[1]
    return {"group": group, "node": node, **sizes, "inputs": [], "outputs": [], "blocks": [], **reach}


STEM, MID = ["pruning:stem", 1.0], ["pruning:mid", 0.75]
SCALES = [
    width("/stem/Conv", 5_000_000, 1_000, 4_464, 65_536, outputs=[STEM]),
    width("/body/1/Conv", 20_000_000, 40_000, 32_768, 32_768, inputs=[STEM], outputs=[MID], blocks=["pruning:body"]),
    width("/body/2/Conv", 20_000_000, 40_000, 32_768, 32_768, inputs=[MID], outputs=[STEM], blocks=["pruning:body"]),
]
BASELINE = {
    "runtime": "onnxruntime", "pruning:stem": "1", "pruning:mid": "1", "pruning:body": "1", "graph": "plain",
    "formats:stem": "fp32", "formats:body": "fp32",
    "precision:stem": "fp32", "precision:body": "fp32", "precision:head": "fp32", "calibration": "minmax",
}  # fmt: skip
MIXED = {"pruning:stem": "0.625", "pruning:mid": "0.33333", "precision:body": "int8", "precision:head": "int8_weight"}
CANDIDATES = {
    "mixed": {**MIXED, "graph": "fused"},
    "block": {
        "pruning:body": "0", "pruning:stem": "0.5", "formats:stem": "int8", "precision:head": "int4_weight",
        "calibration": "entropy",
    },
    "formats": {
        "pruning:mid": "0.5", "formats:body": "int4", "precision:stem": "int8", "precision:head": "int8_dynamic",
    },
}  # fmt: skip

FIGURES = {
    "mixed": {
        "accuracy": 0.966778, "cosine": 0.993556207, "size_bytes": 278500, "parameters": 275625,
        "devices": ["dry-run", "big"],
        "latency_ms": {"p50": 0.228573, "ci95": [0.226287, 0.230859], "n": 0},
        "speedup": {"ratio": 5.194181, "ci95": [5.142239, 5.246123]},
        "peak_memory_bytes": 557000, "bit_operations": 16063936512,
        "latency_ms@big": {"p50": 0.458127, "ci95": [0.453546, 0.462708], "n": 0},
        "speedup@big": {"ratio": 5.795182, "ci95": [5.73723, 5.853134]},
        "peak_memory_bytes@big": 557000, "bit_operations@big": 128511492096,
    },
    "block": {
        "accuracy": 0.954234, "cosine": 0.968468474, "size_bytes": 126500, "parameters": 250500,
        "devices": ["dry-run", "big"],
        "latency_ms": {"p50": 0.083525, "ci95": [0.08269, 0.084361], "n": 0},
        "speedup": {"ratio": 14.214254, "ci95": [14.072111, 14.356396]},
        "peak_memory_bytes": 253000, "bit_operations": 192000000,
        "latency_ms@big": {"p50": 0.12464, "ci95": [0.123393, 0.125886], "n": 0},
        "speedup@big": {"ratio": 21.300825, "ci95": [21.087817, 21.513833]},
        "peak_memory_bytes@big": 253000, "bit_operations@big": 1536000000,
    },
    "formats": {
        "accuracy": 0.968004, "cosine": 0.996007927, "size_bytes": 452000, "parameters": 301000,
        "devices": ["dry-run", "big"],
        "latency_ms": {"p50": 0.690156, "ci95": [0.683254, 0.697057], "n": 0},
        "speedup": {"ratio": 1.720264, "ci95": [1.703062, 1.737467]},
        "peak_memory_bytes": 904000, "bit_operations": 5536000000,
        "latency_ms@big": {"p50": 1.515093, "ci95": [1.499942, 1.530244], "n": 0},
        "speedup@big": {"ratio": 1.752321, "ci95": [1.734798, 1.769845]},
        "peak_memory_bytes@big": 904000, "bit_operations@big": 44288000000,
    },
}  # fmt: skip
BOUNDS = {
    ("mixed", 1): (0.34049078627558477, 7.0562273817657335, 16063936512),
    ("mixed", 8): (0.6770817187499999, 7.013609167405397, 128511492096),
    ("block", 1): (0.04557291666666667, 52.71947869674185, 192000000),
    ("block", 8): (0.09114583333333334, 52.100972431077686, 1536000000),
    ("formats", 1): (1.3821582602339182, 1.738281699340356, 5536000000),
    ("formats", 8): (2.751801900584795, 1.7257007303826706, 44288000000),
}


def job_of(groups: tuple[LayerGroup, ...], changes: list[LayerChange], decisions: Mapping[str, str]) -> ModelledJob:
    """A job whose decisions are stored as earlier versions did, without fields of their own."""
    rows = [
        {"name": name, "choices": [value], "technique": name.partition(":")[0]} for name, value in decisions.items()
    ]
    return ModelledJob(groups, Space.from_dict({"decisions": rows, "context": ""}), changes)


PRUNED = job_of(GROUPS, [*map(read_change, SCALES)], BASELINE)


class TestFiguresOfEarlierJobs:
    """Computed before costs were told otherwise than by the widths of layers."""

    @pytest.mark.parametrize("name", CANDIDATES)
    def test_dry_run(self, name: str) -> None:
        devices = [JobDevice("dry-run", find_device("dry-run")), JobDevice("big", find_device("dry-run", 4, 8))]
        found = invent_metrics(devices, PRUNED, BASELINE | CANDIDATES[name], name * 8)
        assert found == FIGURES[name]

    @pytest.mark.parametrize(("name", "batch"), BOUNDS)
    def test_roofline(self, name: str, batch: int) -> None:
        profile = find_device("raspberry-pi-5") if batch == 1 else find_device("raspberry-pi-5", 4, batch)
        found = bounds(profile, PRUNED, BASELINE | CANDIDATES[name])
        latency, speedup, operations = BOUNDS[name, batch]
        assert found == {
            "latency_ms": {"p50": latency, "n": 0}, "speedup": {"ratio": speedup}, "bit_operations": operations,
        }  # fmt: skip

    def test_a_one_shot_search_hits_its_target(self) -> None:
        job = job_of(GROUPS, [], {"formats": "20", "precision:body": "int8"})
        decisions = {"formats": "20", "precision:body": "int8"}
        found = invent_metrics([JobDevice("dry-run", find_device("dry-run"))], job, decisions, "o" * 64)
        assert (found["latency_ms"]["p50"], found["size_bytes"], found["cosine"]) == (0.457012, 1085000, 0.999938045)
        assert found["bit_operations"] == bounds(find_device("raspberry-pi-5"), job, decisions)["bit_operations"]
        assert found["bit_operations"] == 396800000

    def test_predictions(self) -> None:
        tables = [table({}, 1.0), table({"pruning:stem": "0.5", "pruning:mid": "0.5"}, 0.6)]
        predictor = Predictor([*map(StructureTable.from_dict, tables)], PRUNED.space, changes=PRUNED.changes)
        found = predictor.sum(BASELINE | MIXED)
        assert found == LayerSum(0.28482355947635357, 0.7329532593933906, 0.2670467406066093)


def table(values: Mapping[str, str], share: float) -> Any:
    """A layer table of the pruned model, as it is stored."""

    def unit(node: str, fp32: float, int8: float, weights: float) -> Unit:
        times = {"fp32": fp32, "int8": int8, "int8_weight": weights}
        by_value = {value: UnitTime(Precision(value), time, None, None, None) for value, time in times.items()}
        return Unit(node.split("/")[1], (node,), "key", by_value, {"float": fp32 / 16, "integer": int8 / 8})

    s = share
    units = (
        unit("/stem/Conv", 1.7 * s, 0.9 * s, 1.5 * s),
        unit("/body/1/Conv", 5.3 * s * s, 2.1 * s * s, 5.1 * s * s),
        unit("/body/2/Conv", 4.9 * s * s, 1.9 * s * s, 4.7 * s * s),
        unit("/head/Gemm", 0.45, 0.3, 0.2),
    )
    tensors = (
        Tensor(65536, (0,), (1,), False, False, {"float": 0.03 * s, "integer": 0.05 * s}),
        Tensor(32768, (1,), (2,), False, True, {"float": 0.02 * s, "integer": 0.04 * s}),
        Tensor(1000, (2,), (3,), False, False, {"float": 0.001 * s, "integer": 0.002 * s}),
    )
    structure = {"runtime": "onnxruntime", "graph": "plain"}
    return {"values": {**structure, **values}, "table": LayerTable(units, tensors, 13.1 * s, 0.04, 0.8).to_dict()}


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return token_net.subject_in(tmp_path)


RANK, MERGING = {"low_rank:grow": "4"}, {"merging": "half"}
TOYS: dict[str, type[ModuleTechnique]] = {"low_rank": LowRank, "merging": TokenMerging}


@pytest.fixture
def toy_job(subject: Subject) -> ModelledJob:
    """Both toys and precisions, as the controller reads them from the store."""
    techniques = [kind(subject, kind.Options()) for kind in TOYS.values()]
    rows = json.loads(json.dumps([change.to_dict() for t in techniques for change in t.layer_changes()]))
    decisions = [decision for technique in techniques for decision in technique.offer(None, Offer()).decisions]
    decisions += [Decision(f"p {g.name}", ("fp32", "int8"), "precision", g.name, "layer") for g in subject.groups]
    return ModelledJob(subject.groups, Space(tuple(decisions), ""), tuple(map(read_change, rows)))


class TestTablesOfCosts:
    @pytest.mark.parametrize("values", [{"low_rank:grow": "8"}, RANK, MERGING])
    def test_toys_cost_what_they_say(self, subject: Subject, toy_job: ModelledJob, values: dict[str, str]) -> None:
        name = next(iter(values)).partition(":")[0]
        technique = TOYS[name](subject, TOYS[name].Options())
        variants = ModuleVariants(
            technique.task, "net", {name: technique}, None,
            lambda model: under_first_names(model, token_net.groups_of(model), subject.model, subject.groups),
            subject.cache / "variants",
            lambda decision: decision.partition(":")[0],
        )  # fmt: skip
        draft = variants.draft(values)
        assert draft is not None
        built = {group.name: LayerCost.of_group(group) for group in draft.groups}
        assert costs_left(subject.groups, toy_job.changes, values) == built
        assert built != {group.name: LayerCost.of_group(group) for group in subject.groups}

    def test_dry_run(self, toy_job: ModelledJob) -> None:
        devices = [JobDevice("dry-run", find_device("dry-run"))]
        baseline = toy_job.space.baseline().decisions
        fp32, rank, merged, both = (
            invent_metrics(devices, toy_job, baseline | values, "d") for values in ({}, RANK, MERGING, RANK | MERGING)
        )
        assert fp32["cosine"] == 1.0  # no toss for decisions whose effect is told
        assert rank["size_bytes"] == both["size_bytes"] == fp32["size_bytes"] - 4 * (512 - 4 * (16 + 32))
        assert merged["size_bytes"] == fp32["size_bytes"]
        assert rank["latency_ms"]["p50"] < fp32["latency_ms"]["p50"]
        assert both["bit_operations"] == 32 * 32 * (1536 + (12 * 4 * (16 + 32) + 6144 + 960) // 2)
        assert both["cosine"] < min(rank["cosine"], merged["cosine"]) < 1.0

    def test_roofline(self, toy_job: ModelledJob) -> None:
        profile = find_device("raspberry-pi-5")
        assert profile.peaks is not None
        decisions = toy_job.space.baseline().decisions | RANK | MERGING | {"p shrink": "int8"}
        costs = {
            "embed": LayerCost(1536, 128, 96, 192, 12, 512), "grow": LayerCost(1152, 192, 120, 216, 6, 768),
            "shrink": LayerCost(3072, 512, 192, 96, 6, 2048), "head": LayerCost(480, 80, 96, 30, 6, 320),
        }  # fmt: skip
        formats = {"shrink": Precision.INT8}
        expected = sum(layer_ms(cost, formats.get(name, Precision.FP32), profile.peaks) for name, cost in costs.items())
        assert bounds(profile, toy_job, decisions)["latency_ms"]["p50"] == pytest.approx(expected)

    def test_a_codebook_moves_and_stores_less(self) -> None:
        codes = [CostTable("codes", {"16": {"head": CostFactors(stored_bytes=0.25)}})]
        job = ModelledJob(GROUPS, Space((Decision("codes", ("none", "16"), "codes"),), ""), codes)
        dry = [JobDevice("dry-run", find_device("dry-run"))]
        profile, sizes, latencies = find_device("raspberry-pi-5"), {}, {}
        for value in ("none", "16"):
            sizes[value] = invent_metrics(dry, job, {"codes": value}, "d")["size_bytes"]
            latencies[value] = bounds(profile, job, {"codes": value})
        assert sizes["none"] - sizes["16"] == 750_000
        assert latencies["16"]["latency_ms"]["p50"] < latencies["none"]["latency_ms"]["p50"]
        assert latencies["16"]["bit_operations"] == latencies["none"]["bit_operations"]

    def test_a_table_multiplies_what_narrowing_leaves(self) -> None:
        changes = [*PRUNED.changes, CostTable("merging", {"half": {"stem": CostFactors(tokens=0.5, written=0.5)}})]
        cost = costs_left(GROUPS, changes, {"pruning:stem": "0.5", "merging": "half"})["stem"]
        assert (cost.macs, cost.weights, cost.stored_bytes) == (1_250_000, 500, 2000)
        whole = LayerCost.of_group(GROUPS[0])
        assert (whole.tokens, cost.tokens) == (5000, 2500)

    @pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
    def test_what_is_no_factor_is_refused(self, factor: float) -> None:
        with pytest.raises(ValueError, match=r"macs: .* is no factor"):
            CostFactors(macs=factor)


@pytest.fixture
def registered(tmp_path: Path, toy_package: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the toys' task; their package is installed, and everything runs in this process."""
    without_ray(monkeypatch, prepare_here=True)
    monkeypatch.setattr("search.trials.trial.Sandbox", InlineSandbox)
    (tmp_path / "task.py").write_text("from token_net import make_task\n")
    return tmp_path


@pytest.fixture
def search(store: Store, registered: Path) -> Callable[..., Any]:
    def run(device: str, strategy: str, trials: int) -> Any:
        space = {"low_rank": {}, "merging": {}, "precision": {"choices": ["fp32", "int8"], "activations": "uint8"}}
        job = spec(
            task={"name": "./task.py:make_task"}, devices=[device], space=space, recovery=None,
            objectives=[{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"}],
            strategy={"name": strategy}, budget={"trials": trials},
        )  # fmt: skip
        job_id = submit(store, parse_job(job, folder=registered), registered)
        assert Controller(store, job_id).run() is JobState.DONE
        return store.jobs.get(job_id), store.trials.of_job(job_id)

    return run


class TestSearches:
    @pytest.mark.parametrize(("device", "trials"), [("dry-run", 12), ("raspberry-pi-5", 6)])
    def test_nothing_is_measured(self, search: Callable[..., Any], device: str, trials: int) -> None:
        job, rows = search(device, "random", trials)
        changed = [row for row in rows if MERGING.items() <= row.decisions.items()]
        assert changed
        fp32 = job.baseline["metrics"]["bit_operations"]
        assert all(row.metrics["bit_operations"] < 0.7 * fp32 for row in changed)

    def test_predictions_hold(self, search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """One table of layers serves all values of decisions whose costs are told."""
        monkeypatch.setattr("costed_device.US_PER_MACS", 1e-1)

        class Costed(CostedDevice):
            def measure(self, request: LatencyRequest) -> Measurement:
                self._speed = lambda path: self.us(request.baseline) / self.us(path)
                return super().measure(request)

        with_device(monkeypatch, Costed())
        job, rows = search("local-cpu", "sensitivity", 12)
        facts = JobFacts.from_dict((job.baseline or {})["facts"])
        tables = facts.layer_tables["local-cpu"]
        assert [table.values for table in tables] == [{}]
        predictor = Predictor(tables, Space.from_dict(job.space or {}), changes=facts.layer_changes)
        assert any("half" in row.decisions.values() for row in rows)
        for row in rows:
            predicted = predictor.speedup(row.decisions)
            assert predicted == pytest.approx(row.metrics["speedup"]["ratio"], rel=0.05), row.decisions
