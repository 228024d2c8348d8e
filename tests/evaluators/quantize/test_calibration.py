from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_builder import Builder
from onnx_menagerie import ANIMALS

from evaluators.graphs.model import save_model
from evaluators.graphs.reference_run import run_once
from evaluators.quantize.calibration import BINS, METHODS, Method, Ranges, calibrate
from hwprofiles.errors import BuildFailed, InvalidInput


def doubling() -> onnx.ModelProto:
    b = Builder()
    x = b.input("x", ["n", 4])
    b.op("Mul", x, b.const(2.0), out="twice")
    b.op("Relu", "twice", out="y")
    b.output("y")
    return b.model()


def batches(count: int = 5, seed: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal((64, 4)).astype(np.float32)} for _ in range(count)]


def test_extremes_over_all_batches() -> None:
    data = batches()
    everything = np.concatenate([batch["x"] for batch in data])
    ranges = calibrate(doubling(), data, ["x", "twice", "y"])
    assert ranges.of("x") == (everything.min(), everything.max())
    assert ranges.of("twice") == (2 * everything.min(), 2 * everything.max())
    assert ranges.of("y") == (0.0, 2 * everything.max())
    assert (ranges.method, ranges.samples) == ("minmax", 320)


def test_model_as_file_bytes_or_in_memory(tmp_path: Path) -> None:
    save_model(doubling(), tmp_path / "model.onnx")
    results = [calibrate(model, batches(), ["y"]) for model in
               (doubling(), doubling().SerializeToString(), tmp_path / "model.onnx")]  # fmt: skip
    assert results[0] == results[1] == results[2]


def test_every_float_activation_by_default() -> None:
    assert set(calibrate(doubling(), batches()).values) == {"x", "twice", "y"}
    animal = ANIMALS["encoder"]
    found = set(calibrate(animal.build(), animal.feeds(1)).values)
    assert "ids" not in found
    assert "y" in found


@pytest.mark.parametrize("method", METHODS)
def test_methods_agree_on_plain_data_and_repeat(method: Method) -> None:
    low, high = calibrate(doubling(), batches(), method=method).of("twice")
    everything = 2 * np.concatenate([batch["x"] for batch in batches()])
    assert everything.min() <= low < -0.6 * everything.std() * 3
    assert 0.6 * everything.std() * 3 < high <= everything.max()
    assert calibrate(doubling(), batches(), method=method) == calibrate(doubling(), batches(), method=method)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_outliers_are_cut(method: Method) -> None:
    rng = np.random.default_rng(0)
    data = [{"x": rng.standard_normal((8192, 4)).astype(np.float32)} for _ in range(5)]
    data[3]["x"][0, 0] = 1000.0
    assert calibrate(doubling(), data).of("y")[1] == 2000.0
    low, high = calibrate(doubling(), data, method=method).of("y")
    assert low == 0.0
    assert high <= 2000 / BINS * 128


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_zeros_of_a_relu_do_not_cut_the_rest(method: Method) -> None:
    data = [{"x": np.where(batch["x"] > 1, batch["x"], -1).astype(np.float32)} for batch in batches(20)]
    assert calibrate(doubling(), data, ["y"], method).of("y")[1] > 4


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(value: float) -> None:
    data = batches()
    data[2]["x"][1, 1] = value
    with pytest.raises(BuildFailed, match="'x' holds NaN or infinity"):
        calibrate(doubling(), data)


def test_tensors_without_values_get_a_range() -> None:
    animal = ANIMALS["mixture_of_routed_experts"]
    ranges = calibrate(animal.build(), animal.feeds(2), method="entropy")
    assert (0.0, 0.0) in ranges.values.values()


def test_wrong_uses_are_said() -> None:
    with pytest.raises(InvalidInput, match="'magic' is unknown"):
        calibrate(doubling(), batches(), method="magic")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="reads the batches twice"):
        calibrate(doubling(), iter(batches()), method="entropy")
    with pytest.raises(InvalidInput, match="no activation 'nobody'"):
        calibrate(doubling(), batches(), ["nobody"])
    with pytest.raises(BuildFailed, match="no calibration data"):
        calibrate(doubling(), [])
    with pytest.raises(BuildFailed, match="does not take"):
        calibrate(doubling(), [{"x": np.zeros((2, 5), np.float32)}])
    with pytest.raises(BuildFailed, match="does not take"):
        calibrate(doubling(), [{"z": np.zeros((2, 4), np.float32)}])
    with pytest.raises(BuildFailed, match="was not calibrated"):
        Ranges({}).of("x")
    broken = doubling()
    broken.graph.node[0].op_type = "Frobnicate"
    with pytest.raises(BuildFailed, match="does not load"):
        run_once(broken, batches()[0])


def test_a_generator_will_do_for_extremes_and_pauses_are_asked_for() -> None:
    pauses: list[int] = []
    ranges = calibrate(doubling(), iter(batches()), between_batches=lambda: pauses.append(1))
    assert ranges == calibrate(doubling(), batches())
    assert len(pauses) == 5


def test_ranges_survive_json() -> None:
    ranges = calibrate(doubling(), batches(), method="entropy")
    again = Ranges.from_dict(json.loads(json.dumps(ranges.to_dict())))
    assert again == ranges
    assert again.digest == ranges.digest
    assert again.digest != calibrate(doubling(), batches(seed=1), method="entropy").digest
