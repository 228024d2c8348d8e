"""The roofline: the least time that a described device's peaks allow."""

from __future__ import annotations

import json

import pytest
from small_jobs import classifier

from evaluators.graphs.bit_operations import bit_operations
from evaluators.graphs.layer_cost import LayerCost
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.modelled.candidate import ModelledCandidate
from evaluators.modelled.roofline import layer_ms, roofline_metrics
from hwprofiles import Precision
from hwprofiles.peaks import Peaks

PEAKS = Peaks((("fp32", 2e9), ("int8", 8e9)), 1e9)
COMPUTING = LayerGroup("conv", ("/conv",), "Conv", tuple(Precision), macs=10_000_000, weights=1_000, values=1_000)
MOVING = LayerGroup("gemm", ("/gemm",), "Gemm", tuple(Precision), macs=1_000_000, weights=1_000_000, values=1_000)
GROUPS = (COMPUTING, MOVING)


def uniform(precision: str) -> dict[str, str]:
    return {group.name: precision for group in GROUPS}


class TestLayers:
    @pytest.mark.parametrize(
        ("precision", "ms"),
        [("fp32", 10.0), ("int8", 2.5), ("int8_dynamic", 2.5), ("int8_weight", 10.0), ("int4_weight", 10.0)],
    )
    def test_one_that_computing_limits(self, precision: str, ms: float) -> None:
        assert layer_ms(LayerCost.of_group(COMPUTING), Precision(precision), PEAKS) == pytest.approx(ms)

    @pytest.mark.parametrize(
        ("precision", "ms"),
        [("fp32", 4.004), ("int8", 1.001), ("int8_dynamic", 1.004), ("int8_weight", 1.004), ("int4_weight", 1.0)],
    )
    def test_one_that_memory_limits(self, precision: str, ms: float) -> None:
        """In four bits computing in float is what limits it."""
        assert layer_ms(LayerCost.of_group(MOVING), Precision(precision), PEAKS) == pytest.approx(ms)

    def test_weights_are_read_once_a_batch(self) -> None:
        assert layer_ms(LayerCost.of_group(MOVING), Precision.FP32, PEAKS, batch=2) == pytest.approx(4.008)
        assert layer_ms(LayerCost.of_group(COMPUTING), Precision.FP32, PEAKS, batch=2) == pytest.approx(20.0)

    @pytest.mark.parametrize(
        ("precision", "bits"),
        [("fp32", 1024), ("int8", 64), ("int8_dynamic", 64), ("int8_weight", 256), ("int4_weight", 128)],
    )
    def test_bit_operations(self, precision: str, bits: int) -> None:
        assert bit_operations([COMPUTING], {COMPUTING.name: precision}) == 10_000_000 * bits

    def test_a_device_without_integers(self) -> None:
        floats = Peaks((("fp32", 2e9),), 1e9)
        assert layer_ms(LayerCost.of_group(COMPUTING), Precision.INT8, floats) == layer_ms(
            LayerCost.of_group(COMPUTING), Precision.FP32, floats
        )


class TestCandidates:
    def test_layers_add_up(self) -> None:
        found = roofline_metrics(ModelledCandidate(GROUPS, precisions={"conv": "int8"}), PEAKS)
        assert found["latency_ms"]["p50"] == pytest.approx(2.5 + 4.004)
        assert found["speedup"]["ratio"] == pytest.approx(14.004 / 6.504)
        assert found["bit_operations"] == 10_000_000 * 64 + 1_000_000 * 1024

    def test_the_baseline_is_the_unit(self) -> None:
        found = roofline_metrics(ModelledCandidate(GROUPS, precisions=uniform("fp32")), PEAKS)
        assert found["speedup"] == {"ratio": 1.0}

    def test_nothing_was_measured(self) -> None:
        found = roofline_metrics(ModelledCandidate(GROUPS, precisions=uniform("int8")), PEAKS)
        assert found["latency_ms"]["n"] == 0
        assert not any("ci95" in figure for figure in found.values() if isinstance(figure, dict))
        assert json.loads(json.dumps(found, allow_nan=False)) == found

    def test_quality_and_size_are_nobody_s_guess(self) -> None:
        assert set(roofline_metrics(ModelledCandidate(GROUPS), PEAKS)) == {"latency_ms", "speedup", "bit_operations"}

    def test_a_model_without_layers(self) -> None:
        found = roofline_metrics(ModelledCandidate(()), PEAKS)
        assert (found["latency_ms"]["p50"], found["speedup"]["ratio"], found["bit_operations"]) == (0, 1.0, 0)

    def test_a_batch_works_more(self) -> None:
        one, two = (roofline_metrics(ModelledCandidate(GROUPS), PEAKS, batch) for batch in (1, 2))
        assert two["bit_operations"] == 2 * one["bit_operations"]
        assert one["latency_ms"]["p50"] < two["latency_ms"]["p50"] < 2 * one["latency_ms"]["p50"]


def test_values_of_real_layers() -> None:
    """Inputs and outputs of each product, for one sample."""
    groups = layer_groups(classifier(2))
    assert [(group.values - group.written, group.written) for group in groups] == [(16, 32), (32, 32), (32, 10)]
