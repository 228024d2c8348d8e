"""Prune or quantise: the published figures of a normal distribution, and what they mean for a model's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from capability_record import capability_of
from onnx_builder import Builder
from small_jobs import classifier, spec, write_classifier

from hwprofiles import find_device
from hwprofiles.errors import InvalidInput
from search.analysis import BITS, analyse_weights, device_view, model_of_file, model_of_job, source
from search.analysis.gaussian import compression, pruning_db, quantisation_db, weight_share
from search.analysis.noise import Noise, kurtosis, prune, quantise
from search.analysis.weights import layers_of
from search.job.spec import parse_job

GOLDEN = {8: (40.7, 11.4), 4: (19.3, 5.6), 3: (13.9, 4.3), 2: (8.3, 3.0)}
"""Kuzmin et al., 2023: bits, then quantised and magnitude-pruned to the same size."""

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((8, 20_000)).astype(np.float32)


class TestNormalDistribution:
    @pytest.mark.parametrize("bits", GOLDEN)
    def test_the_published_figures(self, bits: int) -> None:
        assert (quantisation_db(bits), pruning_db(bits)) == pytest.approx(GOLDEN[bits], abs=0.3)

    def test_sizes(self) -> None:
        assert [(compression(bits), weight_share(bits)) for bits in (8, 4, 2)] == [(2, 0.5), (4, 0.25), (8, 0.125)]

    @pytest.mark.parametrize("bits", BITS)
    def test_drawn_values_agree(self, bits: int) -> None:
        assert quantise(NORMAL, bits).db == pytest.approx(quantisation_db(bits), abs=0.3)
        assert prune(NORMAL, bits).db == pytest.approx(pruning_db(bits), abs=0.1)


class TestNoise:
    def test_each_channel_has_its_scale(self) -> None:
        uneven = NORMAL[:, :2000] * np.array([10.0**n for n in range(-4, 4)], np.float32)[:, None]
        assert quantise(uneven, 4).db == pytest.approx(quantise(NORMAL[-1:, :2000], 4).db, abs=0.3)
        assert quantise(uneven.reshape(1, -1), 4).error > 1.5 * quantise(uneven, 4).error

    def test_integers_lose_nothing(self) -> None:
        exact = RNG.integers(-7, 8, (3, 50)).astype(np.float32)
        exact[:, 0] = 7
        assert quantise(exact, 4).db is None
        assert quantise(np.zeros((2, 5), np.float32), 4) == Noise(0.0, 0.0)

    def test_the_largest_stay(self) -> None:
        found = prune(np.arange(16, dtype=np.float32).reshape(2, 8), 8)
        assert found == Noise(1240.0, 140.0)

    def test_heavy_tails_are_where_pruning_comes_near(self) -> None:
        heavy = RNG.standard_t(3, (8, 5000)).astype(np.float32)
        assert (kurtosis(heavy) or 0) > 6
        assert kurtosis(NORMAL) == pytest.approx(3.0, abs=0.1)
        assert kurtosis(np.ones((2, 2), np.float32)) is None
        gaps = [(quantise(w, 2).db or 0) - (prune(w, 2).db or 0) for w in (heavy, NORMAL)]
        assert gaps[0] < gaps[1]


class Inline:
    """A sandbox that is this process."""

    def __init__(self, **options: Any) -> None:
        self.closed = False

    def call(self, function: Callable[..., Any], *arguments: Any, stage: str, limit_s: float) -> Any:
        return function(*arguments)

    def close(self) -> None:
        self.closed = True


def mixed() -> onnx.ModelProto:
    builder = Builder()
    x = builder.input("x", ["n", 3, 8, 8])
    x = builder.op("Relu", builder.conv(x, 3, 6))
    x = builder.op("ConvTranspose", x, builder.weight(6, 4, 3, 3))
    x = builder.op("Flatten", builder.op("GlobalAveragePool", x))
    shared = builder.weight(4, 4)
    x = builder.op("MatMul", builder.op("MatMul", x, shared), shared)
    builder.op("Gemm", x, builder.weight(5, 4), transB=1, out="y")
    builder.output("y", shape=["n", 5])
    return builder.model()


class TestLayers:
    def test_channels_by_operator(self) -> None:
        layers = list(layers_of(mixed()))
        assert [(one.operator, one.tensors[0].shape) for one in layers] == [
            ("Conv", (6, 27)), ("ConvTranspose", (4, 54)), ("MatMul", (4, 4)), ("Gemm", (5, 4)),
        ]  # fmt: skip

    def test_the_report(self) -> None:
        document = analyse_weights(classifier())
        assert [row["bits"] for row in document["bits"]] == list(BITS)
        assert len(document["layers"]) == 4
        assert document["weights"] == sum(layer["weights"] for layer in document["layers"])
        for layer in document["layers"]:
            values = [point["quantised_db"] for point in layer["points"]]
            assert values == sorted(values, reverse=True)
        assert all(row["layers_better_quantised"] == 4 for row in document["bits"])

    def test_a_model_without_layers(self) -> None:
        builder = Builder()
        builder.op("Relu", builder.input("x", [1, 3]), out="y")
        builder.output("y", shape=[1, 3])
        with pytest.raises(InvalidInput, match="no layer"):
            analyse_weights(builder.model())

    def test_a_file_and_a_job_of_it_are_the_same(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
        monkeypatch.setattr(source, "Sandbox", Inline)
        write_classifier(tmp_path)
        said: list[str] = []
        job = parse_job(spec(), folder=tmp_path)
        of_job = analyse_weights(model_of_job(job, tmp_path, said.append))
        assert of_job == analyse_weights(model_of_file(tmp_path / "model.onnx"))


class TestDevice:
    def test_what_it_gains(self) -> None:
        profile = find_device("dry-run")
        view = device_view(profile, capability_of(profile))
        assert view["asked"]
        gains: list[dict[str, Any]] = view["gains"]
        assert {(one["operator"], one["precision"]) for one in gains} == {
            ("conv3x3", "int8"), ("matmul", "int4_weight"),
        }  # fmt: skip
        assert view["steps"] == {"conv3x3": 16}

    def test_one_that_was_not_asked_says_nothing(self) -> None:
        view = device_view(find_device("dry-run"), None)
        assert (view["asked"], view["gains"], view["steps"]) == (False, [], {})
