"""What a device can do, asked of one whose every cost is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from costed_device import CostedDevice
from number_formats import number_formats

from evaluators.graphs.layer_groups import LayerGroup
from evaluators.health import Health
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.probing.capability import UNASKED, Capability, hopeless_precisions, round_width_up
from evaluators.probing.operators import FAMILIES
from evaluators.probing.operators_probe import probe
from evaluators.probing.questions import LayerAnswers
from evaluators.runtimes.base import TimedNode
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import Precision
from hwprofiles.errors import InvalidInput, StageTimeout, UnsupportedOp

WIDTHS = (8, 16, 20, 24, 28, 32, 64, 128)
CONV, MATMUL = (replace(family, widths=WIDTHS) for family in FAMILIES if family.name in ("conv3x3", "matmul"))


def probe_and_store(device: FakeDevice, known: dict[str, Any] | None = None, **options: Any) -> Capability:
    with LayerAnswers(device, {} if known is None else known) as answers:
        return probe(answers, **{"families": (CONV,), **options})


def test_gains_and_steps_are_found() -> None:
    found = probe_and_store(CostedDevice(steps=16, faster=4.0, convert_us=0.0))
    fp32, uint8, int8 = found.sweeps
    assert (fp32.precision, uint8.activations, int8.activations) == (Precision.FP32, "uint8", "int8")
    assert fp32.granularity is not None
    assert fp32.granularity.step == 16
    ratios = [point.ratio for point in uint8.points]
    assert all(ratio is not None and 1.0 < ratio < 4.0 for ratio in ratios)
    assert ratios[-1] == pytest.approx(4.0, rel=0.07)
    assert found.complete
    assert [point.width for point in fp32.points] == list(CONV.widths)
    assert not found.hopeless("Conv", Precision.INT8)


def test_time_is_in_yardsticks() -> None:
    """Twice the time of the yardstick is 2, whatever a yardstick takes."""
    device = CostedDevice()
    point = probe_and_store(device).sweeps[0].points[-1]
    yardstick_us = 8.0 + 64 * 64 * 9 * 256 * 1e-5
    assert point.yardsticks == pytest.approx((8.0 + 128 * 128 * 9 * 256 * 1e-5) / yardstick_us)


def test_widths_are_rounded_up_to_whole_steps() -> None:
    found = probe_and_store(CostedDevice(steps=16))
    rounded = {width: round_width_up(found, "conv3x3", Precision.FP32, width) for width in (1, 16, 17, 33, 128)}
    assert rounded == {1: 16, 16: 16, 17: 32, 33: 48, 128: 128}
    smooth = probe_and_store(CostedDevice(steps=1))
    assert round_width_up(smooth, "conv3x3", Precision.FP32, 17) == 17
    assert round_width_up(found, "matmul", Precision.FP32, 17) == 17  # not probed
    with pytest.raises(InvalidInput, match="'conv9x9' is not probed"):
        round_width_up(found, "conv9x9", Precision.FP32, 17)


def test_what_never_pays_is_hopeless() -> None:
    found = probe_and_store(CostedDevice(faster=0.5))
    assert all(sweep.never_pays for sweep in found.sweeps[1:])
    assert found.hopeless("Conv", Precision.INT8)
    assert not found.hopeless("Conv", Precision.INT8, small=True)
    assert not found.hopeless("MatMul", Precision.INT8)  # not probed


def test_what_does_not_run_is_an_answer() -> None:
    def no_signed(path: Path) -> float:
        if "int8" in number_formats(path):
            raise UnsupportedOp("no kernel for S8S8")
        return 2.0

    found = probe_and_store(FakeDevice(no_signed))
    _, uint8, int8 = found.sweeps
    assert uint8.runs
    assert not int8.runs
    assert {point.reason for point in int8.points} == {"unsupported_op: no kernel for S8S8"}
    assert not found.hopeless("Conv", Precision.INT8)


def test_time_that_runs_out_leaves_the_rest_for_the_next_time() -> None:
    known: dict[str, Any] = {}
    seconds = iter(range(10_000))
    device = CostedDevice()
    first = probe_and_store(device, known, limit_s=12, clock=lambda: float(next(seconds)))
    asked = len(device.asked)
    assert not first.complete
    assert UNASKED in {point.reason for point in first.sweeps[-1].points}
    assert not first.hopeless("Conv", Precision.INT8)
    second = probe_and_store(device, known)
    assert second.complete
    third = CostedDevice()
    assert probe_and_store(third, known) == second
    assert third.asked == []
    assert asked + (len(device.asked) - asked) == 3 * len(CONV.widths)


def test_answers_belong_to_a_profile() -> None:
    known: dict[str, Any] = {}
    probe_and_store(CostedDevice(), known)
    elsewhere = CostedDevice()
    elsewhere.profile = replace(elsewhere.profile, processor="another")
    assert probe_and_store(elsewhere, known).profile_digest == elsewhere.profile.digest
    assert elsewhere.asked


@pytest.mark.parametrize(
    ("operators", "integers"),
    [(("QLinearConv", "QuantizeLinear"), True), (("Conv", "DequantizeLinear"), False), (("Relu",), None)],
)
def test_what_the_runtime_executes_is_told(operators: tuple[str, ...], integers: bool | None) -> None:
    nodes: Callable[..., list[TimedNode]] = lambda model, feed: [  # noqa: E731
        TimedNode(f"n{number}", operator, 1.0 - number / 10, "cpu") for number, operator in enumerate(operators)
    ]
    found = probe_and_store(CostedDevice(), nodes=nodes).sweeps[1]
    assert found.executes == operators
    assert found.integers is integers


def test_a_record_survives_json() -> None:
    found = probe_and_store(CostedDevice(steps=16))
    assert Capability.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_precisions_are_left_out_only_where_no_layer_can_gain() -> None:
    slow = probe_and_store(CostedDevice(faster=0.5), families=(CONV, MATMUL))
    conv = LayerGroup("c", ("c",), "Conv", (Precision.FP32, Precision.INT8), 1, 1)
    lstm = LayerGroup("l", ("l",), "LSTM", (Precision.FP32, Precision.INT8), 1, 1)
    assert hopeless_precisions(slow, [conv], small=False) == {Precision.INT8}
    assert hopeless_precisions(slow, [conv, lstm], small=False) == frozenset()
    assert hopeless_precisions(slow, [conv], small=True) == frozenset()
    assert hopeless_precisions(None, [conv], small=False) == frozenset()


def test_every_family_can_be_built() -> None:
    for family in FAMILIES:
        keys = {family.layer(width).key for width in family.widths}
        assert len(keys) == len(family.widths)
        assert all(family.layer(width).groups[0].kind == family.kind for width in family.widths[:1])


class Busy(CostedDevice):
    """A device on a machine where others are at work."""

    def measure(self, request: LatencyRequest) -> Measurement:
        return replace(super().measure(request), health=Health("contended"))


@pytest.mark.parametrize("small", [False, True])
def test_a_busy_machine_s_answers_are_provisional(small: bool) -> None:
    known: dict[str, Any] = {}
    device = Busy(faster=0.5)
    found = probe_and_store(device, known)
    assert known == {}
    assert not found.complete
    assert all(point.provisional and not point.slower for sweep in found.sweeps for point in sweep.points)
    assert all(point.ratio for sweep in found.sweeps[1:] for point in sweep.points)
    assert not found.hopeless("Conv", Precision.INT8, small=small)
    assert len(device.asked) == 3 * len(CONV.widths)  # each once, though fp32 is needed for every precision
    again = probe_and_store(CostedDevice(faster=0.5), known)
    assert again.complete
    assert again.hopeless("Conv", Precision.INT8)


def test_a_point_that_took_too_long_is_not_slower() -> None:
    def slow(path: Path) -> float:
        if number_formats(path):
            raise StageTimeout("measuring: took longer than 60 s")
        return 1.0

    found = probe_and_store(FakeDevice(slow))
    assert not found.complete
    assert not any(point.slower for sweep in found.sweeps[1:] for point in sweep.points)
    assert not found.hopeless("Conv", Precision.INT8, small=True)
