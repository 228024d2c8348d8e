"""The evaluator contract, held by every evaluator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from evaluators.devices.device import LocalDevice
from evaluators.devices.evaluator import Evaluator
from evaluators.devices.evaluators import (
    LatencyEvaluator,
    MemoryEvaluator,
    SizeEvaluator,
    StartEvaluator,
    ThroughputEvaluator,
)
from evaluators.measuring.latency import Protocol
from evaluators.measuring.throughput import Load
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import find_device
from hwprofiles.errors import CandidateError

pytestmark = pytest.mark.alone

SAMPLE = {"x": np.ones((1, 8), np.float32)}
BRIEF = Protocol(min_pairs=2, min_s=0.0, max_s=5.0, half_width=10.0, attempts=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weight = numpy_helper.from_array(np.eye(8, dtype=np.float32), "w")
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", value[:1], value[1:], [weight])
    path = tmp_path_factory.mktemp("evaluators") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def device() -> Iterator[LocalDevice]:
    found = LocalDevice(find_device("local-cpu"))
    yield found
    found.close()


class EvaluatorContract:
    @pytest.fixture
    def evaluator(self, model: Path, device: LocalDevice) -> Evaluator:
        raise NotImplementedError

    def test_gives_the_metrics_that_it_names(self, evaluator: Evaluator, model: Path) -> None:
        assert set(evaluator.evaluate(model).metrics) - {"energy_mj"} == evaluator.metrics

    def test_every_figure_is_finite(self, evaluator: Evaluator, model: Path) -> None:
        for figure in evaluator.evaluate(model).metrics.values():
            main = (
                next((figure[key] for key in ("p50", "ratio") if key in figure), None)
                if isinstance(figure, dict)
                else figure
            )
            assert main is not None
            assert math.isfinite(main)

    def test_a_missing_file_is_a_failure_of_the_candidate_and_the_next_is_judged(
        self, evaluator: Evaluator, model: Path
    ) -> None:
        with pytest.raises(CandidateError):
            evaluator.evaluate(model.with_name("absent.onnx"))
        assert evaluator.evaluate(model).metrics.keys() >= evaluator.metrics


class TestSize(EvaluatorContract):
    @pytest.fixture
    def evaluator(self, model: Path, device: LocalDevice) -> Evaluator:
        return SizeEvaluator()

    def test_is_the_size_on_disk(self, evaluator: Evaluator, model: Path) -> None:
        assert evaluator.evaluate(model).metrics == {"size_bytes": len(model.read_bytes())}


class TestSparseSize(EvaluatorContract):
    @pytest.fixture
    def evaluator(self, model: Path, device: LocalDevice) -> Evaluator:
        return SizeEvaluator(sparse=True)

    def test_zeros_count_a_bit_each(self, evaluator: Evaluator, model: Path) -> None:
        """Of 64 weights 8 are not zero: a bit for each of all, and four bytes for each of these."""
        found = evaluator.evaluate(model).metrics
        assert found["size_bytes"] - found["sparse_size_bytes"] == 64 * 4 - (64 // 8 + 8 * 4)


class TestLatency(EvaluatorContract):
    @pytest.fixture
    def evaluator(self, model: Path, device: LocalDevice) -> Evaluator:
        return LatencyEvaluator(device, model, SAMPLE, 60, BRIEF)

    def test_keeps_the_raw_samples(self, evaluator: Evaluator, model: Path) -> None:
        found = evaluator.evaluate(model).measurement
        assert found is not None
        assert (
            len(found.baseline_ms) == len(found.candidate_ms) == len(found.sessions) >= BRIEF.min_pairs * BRIEF.blocks
        )


class TestMemory(EvaluatorContract):
    @pytest.fixture
    def evaluator(self, model: Path, device: LocalDevice) -> Evaluator:
        return MemoryEvaluator(device, SAMPLE, 60)


class TestStarts(EvaluatorContract):
    @pytest.fixture
    def evaluator(self, model: Path, device: LocalDevice) -> Evaluator:
        return StartEvaluator(device, SAMPLE, 60)


class TestThroughput(EvaluatorContract):
    @pytest.fixture
    def evaluator(self, model: Path, device: LocalDevice) -> Evaluator:
        load = Load(window_s=0.02, windows=1, min_pairs=3, max_s=0.0, usable_width=math.inf, attempts=1)
        return ThroughputEvaluator(device, model, SAMPLE, 60, load)


class TestADeviceThatCannotBeAsked:
    """What it does not say is missing, and nothing stands for it."""

    @pytest.mark.parametrize("kind", [StartEvaluator, ThroughputEvaluator])
    def test_gives_no_figure(self, kind: Any, model: Path) -> None:
        silent = FakeDevice(lambda path: 1.0)
        evaluator = kind(silent, SAMPLE, 60) if kind is StartEvaluator else kind(silent, model, SAMPLE, 60)
        assert evaluator.evaluate(model).metrics == {}
