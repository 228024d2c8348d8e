"""Layer tables, made on a device whose every cost is known: what they add up to must be what a mixture costs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from costed_device import US_PER_MACS, CostedDevice
from number_formats import number_formats
from onnx_builder import Builder

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.model import save_model
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.probing.layer_table import LayerTable
from evaluators.probing.layer_timing import Question, measure_table
from evaluators.probing.operators import products
from evaluators.probing.questions import LayerAnswers
from evaluators.quantize import Quantizer, Scheme
from evaluators.quantize.calibration import calibrate
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import Precision
from hwprofiles.errors import UnsupportedOp

SAMPLE = {"x": np.random.default_rng(0).standard_normal((1, 16, 32, 32)).astype(np.float32)}
INT8 = {"fp32": Precision.FP32, "int8": Precision.INT8}


def chain(layers: int = 4) -> onnx.ModelProto:
    """Convolutions of 16 channels at 32x32, a Relu behind each but the last."""
    builder = Builder(17)
    x = builder.input("x", [1, 16, 32, 32])
    for number in range(layers):
        x = builder.op("Conv", x, builder.weight(16, 16, 3, 3), pads=[1] * 4, kernel_shape=[3, 3])
        x = builder.op("Relu", x) if number < layers - 1 else x
    builder.output(x, shape=[1, 16, 32, 32])
    return clean_graph(builder.model())


def branching() -> onnx.ModelProto:
    """One tensor that two convolutions read, whose results leave the model."""
    builder = Builder(17)
    x = builder.input("x", [1, 16, 32, 32])
    options: dict[str, Any] = {"pads": [1] * 4, "kernel_shape": [3, 3]}
    shared = builder.op("Relu", builder.op("Conv", x, builder.weight(16, 16, 3, 3), **options))
    for _ in range(2):
        out = builder.op("Conv", shared, builder.weight(16, 16, 3, 3), **options)
        builder.output(out, shape=[1, 16, 32, 32])
    return clean_graph(builder.model())


def question(model: onnx.ModelProto, **changes: Any) -> Question:
    groups = layer_groups(model)
    fields = {
        "name": "a model", "model": model, "groups": groups, "values": {group.name: INT8 for group in groups},
        "sample": SAMPLE, "scheme": Scheme(),
    }  # fmt: skip
    return Question(**fields | changes)


def table_of(device: FakeDevice, model: onnx.ModelProto, **changes: Any) -> LayerTable:
    with LayerAnswers(device, {}) as answers:
        found = measure_table(answers, question(model, **changes))
    assert found is not None
    return found


def true_us(device: CostedDevice, model: onnx.ModelProto, mixture: dict[str, str], folder: Path) -> float:
    groups: tuple[LayerGroup, ...] = layer_groups(model)
    quantised = {name: Precision(value) for name, value in mixture.items() if value != "fp32"}
    built = Quantizer(model, groups, calibrate(model, [SAMPLE]), Scheme()).apply(quantised)
    save_model(built, folder / "built.onnx")
    return device.us(folder / "built.onnx")


YARDSTICK_US = 8.0 + 64 * 64 * 9 * 256 * US_PER_MACS


@pytest.mark.parametrize("build", [chain, branching])
def test_every_mixture_adds_up_to_what_it_costs(build: Any, tmp_path: Path) -> None:
    """Also where int8 layers follow one another, and where one tensor has readers of both kinds."""
    model, device = build(), CostedDevice(convert_us=2e-3)
    table = table_of(device, model)
    names = [group.name for group in layer_groups(model)]
    for values in itertools.product(("fp32", "int8"), repeat=len(names)):
        mixture = dict(zip(names, values, strict=True))
        found = table.estimate(mixture)
        assert found is not None
        assert found.yardsticks * YARDSTICK_US == pytest.approx(true_us(device, model, mixture, tmp_path), rel=1e-6)


def test_conversions_between_layers_are_counted() -> None:
    table = table_of(CostedDevice(), chain())
    size = 16 * 32 * 32
    _, second, third, fourth = (unit.group for unit in table.units)
    mixed = table.estimate({second: "int8", fourth: "int8"})
    assert mixed is not None
    assert (mixed.entering, mixed.leaving) == (2 * size, 2 * size)  # the last result leaves the model
    together = table.estimate({second: "int8", third: "int8"})
    assert together is not None
    assert (together.entering, together.leaving) == (size, size)
    fp32 = table.estimate({})
    assert fp32 is not None
    assert (fp32.yardsticks, fp32.entering, fp32.leaving) == (table.whole, 0, 0)


def test_what_is_no_layer_stays_as_in_the_fp32_model() -> None:
    """A cost of the whole model that no layer has is in every estimate."""
    extra = CostedDevice(surcharge=lambda model: 50.0 * (sum(node.op_type == "Conv" for node in model.graph.node) == 4))
    plain, more = table_of(CostedDevice(), chain()), table_of(extra, chain())
    mixture = {plain.units[1].group: "int8"}
    one, other = plain.estimate(mixture), more.estimate(mixture)
    assert one is not None
    assert other is not None
    assert (other.yardsticks - one.yardsticks) * YARDSTICK_US == pytest.approx(50.0)


def test_layers_of_one_shape_are_asked_about_once() -> None:
    device = CostedDevice()
    table_of(device, chain(6))
    asked = len(device.asked)
    again = CostedDevice()
    table_of(again, chain(7))
    assert len(again.asked) == asked


def test_a_precision_that_does_not_run_has_no_estimate() -> None:
    class Lacking(CostedDevice):
        def us(self, path: Path) -> float:
            if any(node.op_type == "QuantizeLinear" for node in onnx.load(path).graph.node):
                raise UnsupportedOp("no integers here")
            return super().us(path)

    table = table_of(Lacking(), chain())
    name = table.units[0].group
    assert table.estimate({name: "int8"}) is None
    assert table.estimate({name: "fp32"}) is not None
    assert table.units[0].times["int8"].reason == "unsupported_op: no integers here"


def test_a_table_that_time_ran_out_for_is_made_the_next_time() -> None:
    known: dict[str, Any] = {}
    device = CostedDevice()
    ticks = iter(range(1000))
    with LayerAnswers(device, known) as answers:
        assert measure_table(answers, question(chain()), limit_s=3, clock=lambda: float(next(ticks))) is None
        assert known
        before = len(device.asked)
        assert measure_table(answers, question(chain())) == table_of(CostedDevice(), chain())
        asked = len(device.asked) - before
        assert 0 < asked < len(known)
        assert measure_table(answers, question(chain()), limit_s=0) is not None
        assert len(device.asked) - before == asked


def test_another_runtime_is_measured_against_the_first() -> None:
    class TwoRuntimes(CostedDevice):
        def measure(self, request: LatencyRequest) -> Measurement:
            faster = 2 if request.runtime else 1
            self.runtimes = {*getattr(self, "runtimes", set()), request.runtime}
            self._speed = lambda path: self.us(path.with_name("baseline.onnx")) / self.us(path) * faster
            return super().measure(request)

    device = TwoRuntimes()
    first, other = table_of(device, chain()), table_of(device, chain(), runtime="other:fast")
    assert device.runtimes == {None, "other:fast"}
    assert other.whole == pytest.approx(first.whole / 2)
    mixture = {first.units[2].group: "int8"}
    one, two = first.estimate(mixture), other.estimate(mixture)
    assert one is not None
    assert two is not None
    assert two.yardsticks == pytest.approx(one.yardsticks / 2)


def test_a_table_survives_json() -> None:
    table = table_of(CostedDevice(), chain())
    assert LayerTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table


def test_a_wide_tensor_has_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining two layers there would take weights of the square of its features."""
    joined: list[int] = []

    def watched(shape: Any, **options: Any) -> onnx.ModelProto:
        joined.append(shape[-1])
        return products(shape, **options)

    monkeypatch.setattr("evaluators.probing.layer_timing.products", watched)
    builder = Builder(17)
    x = builder.input("x", [4, 1024])
    x = builder.op("Relu", builder.op("MatMul", x, builder.weight(1024, 1024)))
    builder.output(builder.op("MatMul", x, builder.weight(1024, 5000)), shape=[4, 5000])
    sample = {"x": np.zeros((4, 1024), np.float32)}
    table = table_of(CostedDevice(), clean_graph(builder.model()), sample=sample)
    assert set(joined) == {1024}
    (wide,) = (tensor for tensor in table.tensors if tensor.elements == 20_000)
    assert set(wide.ends.values()) == {0.0}
    assert any(tensor.ends["integer"] for tensor in table.tensors if tensor.elements == 4096)


def test_static_int8_is_asked_of_one_runtime_for_all_of_its_family() -> None:
    class Recording(CostedDevice):
        def measure(self, request: LatencyRequest) -> Measurement:
            question = request.runtime, bool(number_formats(request.candidate))
            self.questions = {*getattr(self, "questions", set()), question}
            return super().measure(request)

    device = Recording()
    table_of(device, chain(), runtime="other:fast", integers_runtime="other:exact")
    assert device.questions == {(None, False), ("other:fast", False), ("other:exact", True)}
