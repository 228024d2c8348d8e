"""The shipped evaluators keep what every evaluator promises."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from evaluators.devices import evaluators
from evaluators.devices.device import Device
from evaluators.devices.evaluator import Evaluator
from evaluators.devices.evaluators import (
    DEVICE_EVALUATORS,
    LatencyEvaluator,
    MeasuringEvaluator,
    MemoryEvaluator,
    ParametersEvaluator,
    SizeEvaluator,
    SparseSizeEvaluator,
    StartEvaluator,
    ThroughputEvaluator,
    device_evaluators,
    evaluate_file,
)
from evaluators.measuring.latency import Protocol
from evaluators.measuring.throughput import Load
from evaluators.tensors import Arrays
from evaluators.testing.evaluators import (
    LIMIT_S,
    DeviceEvaluatorConformance,
    FileEvaluatorConformance,
    write_layers,
)
from evaluators.testing.fake_device import FakeDevice

BRIEF = Protocol(min_pairs=2, min_s=0.0, max_s=5.0, half_width=10.0, attempts=1)


class TestSize(FileEvaluatorConformance):
    kind = SizeEvaluator
    reads_model = False

    def test_is_the_size_on_disk(self, evaluator: Evaluator, model: Path) -> None:
        assert evaluator.evaluate(model).metrics == {"size_bytes": len(model.read_bytes())}


class TestSparseSize(FileEvaluatorConformance):
    kind = SparseSizeEvaluator

    def test_zeros_count_a_bit_each(self, evaluator: Evaluator, model: Path) -> None:
        """Of 64 weights in each of 3 layers 32 are not zero: a bit for each of all, four bytes for each of these."""
        found = evaluator.evaluate(model).metrics
        assert len(model.read_bytes()) - found["sparse_size_bytes"] == 3 * (64 * 4 - (64 // 8 + 32 * 4))


class TestParameters(FileEvaluatorConformance):
    kind = ParametersEvaluator

    def test_zeros_count_too(self, evaluator: Evaluator, model: Path) -> None:
        assert evaluator.evaluate(model).metrics == {"parameters": 3 * 64}


@pytest.mark.alone
class TestLatency(DeviceEvaluatorConformance):
    kind = LatencyEvaluator

    @pytest.fixture
    def evaluator(self, model: Path, device: Device, sample: Arrays) -> Evaluator:
        return LatencyEvaluator(device, model, sample, LIMIT_S, BRIEF)

    def test_the_registry_holds_it(self) -> None:
        """Every candidate's latency is measured: nobody chooses it."""
        assert self.kind not in DEVICE_EVALUATORS

    def test_keeps_the_raw_samples(self, evaluator: Evaluator, model: Path) -> None:
        found = evaluator.evaluate(model).measurement
        assert found is not None
        assert (
            len(found.baseline_ms) == len(found.candidate_ms) == len(found.sessions) >= BRIEF.min_pairs * BRIEF.blocks
        )


@pytest.mark.alone
class TestMemory(DeviceEvaluatorConformance):
    kind = MemoryEvaluator


@pytest.mark.alone
class TestStarts(DeviceEvaluatorConformance):
    kind = StartEvaluator


@pytest.mark.alone
class TestThroughput(DeviceEvaluatorConformance):
    kind = ThroughputEvaluator

    @pytest.fixture
    def evaluator(self, model: Path, device: Device, sample: Arrays) -> Evaluator:
        load = Load(window_s=0.02, windows=1, min_pairs=3, max_s=0.0, usable_width=math.inf, attempts=1)
        return ThroughputEvaluator(device, model, sample, LIMIT_S, load)


class TestADeviceThatCannotBeAsked:
    """What it does not say is missing, and nothing stands for it."""

    @pytest.mark.parametrize("kind", [StartEvaluator, ThroughputEvaluator])
    def test_gives_no_figure(self, kind: type[MeasuringEvaluator], tmp_path: Path) -> None:
        model = write_layers(tmp_path / "model.onnx", 1)
        assert kind(FakeDevice(lambda path: 1.0), model, {}, LIMIT_S).evaluate(model).metrics == {}


class TestChosen:
    """By the names that a job wants, each evaluator once."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        return write_layers(tmp_path / "model.onnx", 1)

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [(set(), {"size_bytes"}), ({"sparse_size_bytes", "accuracy"}, {"size_bytes", "sparse_size_bytes"})],
    )
    def test_of_the_file(self, model: Path, wanted: set[str], found: set[str]) -> None:
        assert evaluate_file(model, wanted.__contains__).keys() == found

    @pytest.mark.parametrize(
        ("wanted", "by_default", "found"),
        [
            (set(), False, []),
            (set(), True, [MemoryEvaluator, StartEvaluator]),
            ({"warm_start_ms", "cold_start_ms", "throughput"}, False, [StartEvaluator, ThroughputEvaluator]),
            ({"throughput"}, True, [MemoryEvaluator, StartEvaluator, ThroughputEvaluator]),
        ],
    )
    def test_of_a_device(self, wanted: set[str], by_default: bool, found: list[type[Evaluator]]) -> None:
        assert device_evaluators(wanted.__contains__, by_default=by_default) == found

    def test_no_two_give_the_same_metric(self) -> None:
        kinds = [*evaluators.FILE_EVALUATORS, *DEVICE_EVALUATORS, LatencyEvaluator]
        names = [name for kind in kinds for name in kind.metrics | kind.sometimes]
        assert len(names) == len(set(names))
