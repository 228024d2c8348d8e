"""Modelled metrics: the same everywhere, and shaped as real ones are."""

from __future__ import annotations

import json
import random

import pytest

from evaluators.graphs.layer_groups import LayerGroup
from evaluators.modelled.candidate import ModelledCandidate
from evaluators.modelled.dry_run import dry_run_metrics
from hwprofiles import Precision

PRECISIONS = tuple(Precision)
GROUPS = (
    LayerGroup("stem", ("/stem",), "conv", PRECISIONS, 5_000_000, 1_000),
    LayerGroup("body", ("/body/1", "/body/2"), "conv", PRECISIONS, 40_000_000, 80_000),
    LayerGroup("head", ("/head",), "gemm", PRECISIONS, 1_000, 1_000),
)


def uniform(precision: str) -> dict[str, str]:
    return {group.name: precision for group in GROUPS}


def modelled(precisions: dict[str, str], **values: str) -> dict[str, float]:
    """Metrics by name, mappings by their main figure; ``values`` are those of other decisions."""
    found = dry_run_metrics(ModelledCandidate(GROUPS, "d" * 64, precisions, other_values=values))
    return found | {"latency_ms": found["latency_ms"]["p50"], "speedup": found["speedup"]["ratio"]}


class TestRepeats:
    def test_the_order_of_decisions_is_no_matter(self) -> None:
        precisions, values = uniform("int8") | {"stem": "fp32"}, {"graph": "fused", "calibration": "minmax", "a": "b"}
        for seed in range(5):
            names, others = list(precisions), list(values)
            random.Random(seed).shuffle(names)
            random.Random(seed).shuffle(others)
            shuffled = modelled({name: precisions[name] for name in names}, **{name: values[name] for name in others})
            assert shuffled == modelled(precisions, **values)

    def test_it_stays_what_it_is(self) -> None:
        """Dry runs of one version can be compared with those of another."""
        found = modelled(uniform("int8"))
        figures = {name: found[name] for name in ("cosine", "speedup", "size_bytes")}
        assert figures == {"cosine": 0.996958883, "speedup": 3.148044, "size_bytes": 83000}

    def test_it_is_json(self) -> None:
        found = dry_run_metrics(ModelledCandidate(GROUPS, "d", uniform("int8")))
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_a_model_without_layers(self) -> None:
        assert dry_run_metrics(ModelledCandidate((), "d"))["speedup"]["ratio"] == pytest.approx(1.0, abs=0.02)


class TestShape:
    def test_the_baseline_is_the_unit(self) -> None:
        found = modelled(uniform("fp32"))
        assert found["speedup"] == pytest.approx(1.0, abs=0.02)
        assert found["cosine"] == 1.0
        assert found["accuracy"] == 0.97

    def test_a_layer_that_is_not_mentioned_is_fp32(self) -> None:
        assert modelled({}) == modelled(uniform("fp32"))

    def test_int8_is_faster_smaller_and_less_true(self) -> None:
        fp32, int8 = modelled(uniform("fp32")), modelled(uniform("int8"))
        assert int8["latency_ms"] < fp32["latency_ms"]
        assert int8["size_bytes"] < fp32["size_bytes"] / 3
        assert int8["peak_memory_bytes"] < fp32["peak_memory_bytes"]
        assert int8["cosine"] < fp32["cosine"]
        assert int8["accuracy"] < fp32["accuracy"]

    def test_smaller_is_not_faster(self) -> None:
        assert modelled(uniform("int4_weight"))["size_bytes"] < modelled(uniform("int8"))["size_bytes"]
        assert modelled(uniform("int4_weight"))["speedup"] < 1.0

    def test_small_layers_gain_little(self) -> None:
        body, head = (modelled({name: "int8"})["speedup"] for name in ("body", "head"))
        assert body > 2.0
        assert head == pytest.approx(modelled({})["speedup"], abs=0.001)

    def test_layers_differ_in_what_they_lose(self) -> None:
        losses = {modelled({group.name: "int8"})["cosine"] for group in GROUPS}
        assert len(losses) == len(GROUPS)

    def test_any_other_decision_matters_too(self) -> None:
        found = [modelled(uniform("int8"), graph=value) for value in ("plain", "fused")]
        assert found[0]["latency_ms"] != found[1]["latency_ms"]
        assert found[0]["cosine"] != found[1]["cosine"]

    @pytest.mark.parametrize("precision", PRECISIONS)
    def test_intervals_hold_their_figures(self, precision: str) -> None:
        found = dry_run_metrics(ModelledCandidate(GROUPS, "d", uniform(precision)))
        assert found["latency_ms"]["ci95"][0] < found["latency_ms"]["p50"] < found["latency_ms"]["ci95"][1]
        assert found["speedup"]["ci95"][0] < found["speedup"]["ratio"] < found["speedup"]["ci95"][1]
        assert found["latency_ms"]["n"] == 0  # nothing was measured
