"""Why a model is not faster, told from nodes whose times are made up."""

from __future__ import annotations

from typing import Any

import pytest

from evaluators.devices.execution import Execution, match_layers
from evaluators.runtimes.base import TimedNode
from search.analysis.bottlenecks import Bottleneck, find_bottlenecks

CPU = "CPUExecutionProvider"
WEIGHT = ("float32", (64, 64, 3, 3))


def node(
    name: str, operator: str, ms: float, *inputs: Any, out: Any = ("float32", (1, 64, 8, 8)), on: str = CPU
) -> TimedNode:
    return TimedNode(name, operator, ms, on, inputs or (("float32", (1, 64, 8, 8)),), (out,))


def conv(name: str = "conv", ms: float = 1.0, channels: int = 64, **options: Any) -> TimedNode:
    activations = ("float32", (1, 64, 8, 8))
    return node(name, "Conv", ms, activations, ("float32", (channels, 64, 3, 3)), **options)


def qconv(name: str = "conv", ms: float = 0.3, kind: str = "uint8") -> TimedNode:
    return node(name + "_token_7", "QLinearConv", ms, (kind, (1, 8, 8, 64)), ("float32", ()), out=(kind, (1, 8, 8, 64)))


def execution(*nodes: TimedNode) -> Execution:
    return Execution(nodes, {"conv": (64, 64, 3, 3)})


def found(
    model: Execution, against: Execution | None = None, speedup: tuple[float, float, float] | None = None, **known: Any
) -> dict[str, Bottleneck]:
    options = {"latency_ms": model.total_ms, "provider": CPU, "lanes": 16} | known
    return {one.kind: one for one in find_bottlenecks(model, against, speedup=speedup, **options)}


class TestAlone:
    def test_nothing_to_say(self) -> None:
        assert found(execution(conv())) == {}

    def test_a_runtime_that_does_not_say(self) -> None:
        assert set(found(execution())) == {"unknown"}

    def test_nodes_elsewhere(self) -> None:
        finding = found(execution(conv(), conv("far", 3.0, on="CUDAExecutionProvider")))["fallback"]
        assert finding.text == f"1 node ran on CUDAExecutionProvider, not on {CPU}: far (3.000 ms)"
        assert finding.share == 0.75

    @pytest.mark.parametrize(("ms", "said"), [(0.3, True), (0.05, False)])
    def test_conversions(self, ms: float, said: bool) -> None:
        nodes = [node("a", "QuantizeLinear", ms), qconv(ms=1.0), node("Transpose_token_3", "Transpose", ms)]
        kinds = found(execution(*nodes))
        assert ("conversions" in kinds) is said
        if said:
            assert kinds["conversions"].share == pytest.approx(0.6 / 1.6)
            assert "QuantizeLinear 1x, Transpose 1x" in kinds["conversions"].text

    def test_a_transpose_of_the_model_s_own_is_no_conversion(self) -> None:
        kinds = found(execution(conv(), node("/encoder/Transpose", "Transpose", 1.0)))
        assert "conversions" not in kinds
        assert kinds["other_operators"].share == 0.5

    def test_layers_that_are_still_float(self) -> None:
        finding = found(execution(qconv(), conv("late", 0.9)))["float_layers"]
        assert finding.share == pytest.approx(0.75)
        assert "late (0.900 ms)" in finding.text

    def test_a_float_model_is_float_on_purpose(self) -> None:
        assert "float_layers" not in found(execution(conv(), conv("late")))

    def test_weights_that_are_only_stored(self) -> None:
        finding = found(execution(node("fc", "MatMulNBits", 1.0)))["stored_weights"]
        assert finding.text.startswith("1 layer with weights only stored")

    def test_time_outside_the_nodes(self) -> None:
        assert found(execution(conv(ms=1.0)), latency_ms=2.0)["overhead"].share == 0.5
        assert "overhead" not in found(execution(conv(ms=1.0)), latency_ms=0.9)

    @pytest.mark.parametrize(
        ("channels", "lanes", "said"), [(20, 16, True), (32, 16, False), (20, 4, False), (20, 0, False)]
    )
    def test_channels_that_fill_no_vector(self, channels: int, lanes: int, said: bool) -> None:
        assert ("channels" in found(execution(conv(channels=channels)), lanes=lanes)) is said

    def test_that_of_most_time_first(self) -> None:
        model = execution(qconv(ms=1.0), conv("late", 5.0), node("q", "QuantizeLinear", 1.0))
        shares = [
            one.share or 0.0
            for one in find_bottlenecks(model, None, latency_ms=9.0, speedup=None, provider=CPU, lanes=0)
        ]
        assert shares == sorted(shares, reverse=True)
        assert len(shares) == 3


class TestAgainst:
    def test_layers_are_matched_whatever_their_precision(self) -> None:
        ours, theirs = execution(qconv(ms=0.3), conv("tail", channels=8)), execution(conv("x_nchwc", 1.0))
        ((one, other),) = match_layers(ours, theirs)
        assert (one.node.name, other.node.name) == ("conv_token_7", "x_nchwc")
        assert one.macs == other.macs == 64 * 64 * 64 * 9

    def test_a_layer_that_became_slower(self) -> None:
        finding = found(execution(qconv(ms=2.0)), execution(conv(ms=1.0)), (0.5, 0.49, 0.51))["slower_layers"]
        assert finding.text == "1 layer slower than in the other model: conv_token_7 2.000 ms, was 1.000"
        assert finding.share == 0.5

    @pytest.mark.parametrize(
        ("speedup", "kind"),
        [((1.0, 0.99, 1.01), "no_difference"), ((0.5, 0.4, 0.6), "slower"), ((2.0, 1.9, 2.1), None)],
    )
    def test_what_the_interval_says(self, speedup: tuple[float, float, float], kind: str | None) -> None:
        kinds = set(found(execution(conv()), execution(conv()), speedup))
        assert kinds & {"no_difference", "slower"} == ({kind} if kind else set())

    def test_arithmetic_that_fell_further_than_the_latency(self) -> None:
        pruned = execution(conv(channels=16, out=("float32", (1, 16, 8, 8))))
        finding = found(pruned, execution(conv()), (1.1, 1.0, 1.2))["arithmetic"]
        assert "fell 4.0x, the latency 1.1x" in finding.text
        assert "arithmetic" not in found(pruned, execution(conv()), (3.9, 3.8, 4.0))

    @pytest.mark.parametrize(
        ("kind", "speedup", "said"),
        [("int8", (0.8, 0.7, 0.9), True), ("uint8", (0.8, 0.7, 0.9), False), ("int8", (2.0, 1.9, 2.1), False)],
    )
    def test_signed_activations_that_gain_nothing(
        self, kind: str, speedup: tuple[float, float, float], said: bool
    ) -> None:
        assert ("signed_activations" in found(execution(qconv(kind=kind)), execution(conv()), speedup)) is said
