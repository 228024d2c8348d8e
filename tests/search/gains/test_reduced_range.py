"""Weights of 7 bits: asked about on processors that saturate, and kept where they are the better ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from number_formats import number_formats
from small_jobs import classifier, samples

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.quantize import Scheme
from evaluators.runtimes import runtime_of
from evaluators.tensors import Array, Arrays
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import Profile, digest_of, find_device
from hwprofiles.gpus import Gpu
from search.gains.reduced_range import may_saturate, prefers_7_bits
from search.gains.static_scheme import compare_weight_ranges
from search.gains.whole_model import WholeModel
from search.techniques import Draft, Offer, PrecisionTechnique, Subject

AVX2 = ("ssse3", "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2")
RAN = {"ratio": 2.0, "ci95": [1.9, 2.1]}


def profile(*instruction_sets: str) -> Profile:
    return replace(find_device("local-cpu"), instruction_sets=instruction_sets, runtimes=(("onnxruntime", "1.31"),))


def is_reduced(path: Path) -> bool:
    """Whether no int8 weight uses its last bit."""
    values = [onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer]
    return all(np.abs(one.astype(int)).max() <= 64 for one in values if one.dtype == np.int8 and one.ndim > 1)


class Board(FakeDevice):
    """A processor whose full products saturate, if it does; every int8 file is twice as fast."""

    def __init__(self, own: Profile, *, saturates: bool = True, answers: bool = True, reduced: float = 2.0) -> None:
        super().__init__(
            lambda path: (reduced if is_reduced(path) else 2.0) if number_formats(path) else 1.0, profile=own
        )
        self.saturates, self.answers = saturates, answers
        self.looked_at: list[Path] = []

    def outputs(
        self, model: Path, samples: Arrays, *, limit_s: float, runtime: str | None = None
    ) -> dict[str, Array] | None:
        self.looked_at.append(model)
        if not self.answers:
            return None
        session = runtime_of("onnxruntime").open(model)
        found = session.predict(samples)
        session.close()
        if self.saturates and number_formats(model) and not is_reduced(model):
            return {name: np.minimum(values, np.median(values)) for name, values in found.items()}
        return found


@pytest.fixture
def subject(tmp_path: Path) -> Callable[[Profile], Subject]:
    def make(own: Profile) -> Subject:
        rows = samples(32)["x"]
        clean = clean_graph(classifier(2))
        return Subject(
            model=clean, groups=layer_groups(clean, {"x": [32, 16]}),
            digest=digest_of(["a model", clean.SerializeToString(deterministic=True).hex()]), sample={"x": rows},
            calibration_batches=lambda count: [{"x": rows}], cache=tmp_path, profile=own, wanted=frozenset(),
        )  # fmt: skip

    return make


Make = Callable[[Profile], Subject]


class TestDevices:
    @pytest.mark.parametrize("exact", ["avx512_vnni", "avx_vnni", "amx_int8"])
    def test_products_that_are_summed_in_32_bits(self, exact: str) -> None:
        assert not may_saturate(profile(*AVX2, exact))

    def test_x86_without_them(self) -> None:
        assert may_saturate(profile(*AVX2))
        assert may_saturate(profile(*AVX2, "avx512f", "avx512bw"))
        assert may_saturate(replace(profile(*AVX2), agent=True))

    def test_others_do_not(self) -> None:
        assert not may_saturate(profile("asimd", "asimdhp"))
        assert not may_saturate(profile())
        assert not may_saturate(find_device("dry-run"))
        assert not may_saturate(replace(profile(*AVX2), gpu=Gpu(index=0, name="Example")))


class TestWanted:
    @pytest.mark.parametrize(
        ("full", "reduced", "less"),
        [
            ({**RAN, "loss": 0.2}, {**RAN, "loss": 0.01}, True),
            ({**RAN, "loss": 0.01}, {**RAN, "loss": 0.02}, False),
            ({**RAN, "loss": 0.2}, {**RAN, "ratio": 1.5, "loss": 0.01}, True),
            ({**RAN, "loss": 0.0100}, {**RAN, "ratio": 2.5, "loss": 0.0104}, True),  # faster, as good
            ({**RAN, "loss": 0.0104}, {**RAN, "ratio": 1.5, "loss": 0.0100}, False),  # slower, as good
            ({**RAN, "loss": 0.0}, {**RAN, "loss": 0.0}, False),
            (RAN, RAN, True),
            ({**RAN, "loss": 0.2}, {"reason": "build_failed: no"}, False),
            ({"reason": "build_failed: no"}, {**RAN, "loss": 0.2}, True),
        ],
    )
    def test_what_loses_less(self, full: dict[str, Any], reduced: dict[str, Any], less: bool) -> None:
        assert prefers_7_bits(full, reduced) is less


class TestAsked:
    def test_a_processor_that_saturates(self, subject: Make) -> None:
        board = Board(profile(*AVX2))
        (scheme, answer), (full, saturated) = compare_weight_ranges(
            WholeModel(subject(board.profile), board), "onnxruntime", Scheme()
        )
        assert (scheme.reduce_range, full.reduce_range) == (True, False)
        assert answer["loss"] < saturated["loss"] / 10

    def test_one_that_does_not_keeps_all_bits(self, subject: Make) -> None:
        board = Board(profile(*AVX2), saturates=False)
        (scheme, _), _ = compare_weight_ranges(WholeModel(subject(board.profile), board), "onnxruntime", Scheme())
        assert not scheme.reduce_range

    def test_its_answers_are_remembered(self, subject: Make) -> None:
        board = Board(profile(*AVX2))
        for _ in range(2):
            found = compare_weight_ranges(WholeModel(subject(board.profile), board), "onnxruntime", Scheme())
        assert len(board.looked_at) == 4
        assert found[0][0].reduce_range

    def test_one_with_exact_products_is_not_asked(self, subject: Make) -> None:
        board = Board(profile(*AVX2, "avx512_vnni"))
        ((scheme, answer),) = compare_weight_ranges(WholeModel(subject(board.profile), board), "onnxruntime", Scheme())
        assert not scheme.reduce_range
        assert "loss" not in answer
        assert board.looked_at == []

    def test_one_that_cannot_be_looked_at_is_taken_for_saturating(self, subject: Make) -> None:
        board = Board(profile(*AVX2), answers=False)
        (scheme, answer), _ = compare_weight_ranges(WholeModel(subject(board.profile), board), "onnxruntime", Scheme())
        assert scheme.reduce_range
        assert "loss" not in answer


@pytest.mark.parametrize("activations", ["auto", "uint8"])
def test_a_search_builds_in_it(subject: Make, tmp_path: Path, activations: str) -> None:
    board = Board(profile(*AVX2))
    asked = subject(board.profile)
    technique = PrecisionTechnique(asked, PrecisionTechnique.Options(activations=activations))
    offer = technique.offer(board, Offer())
    assert offer.static_schemes["onnxruntime"].reduce_range is True
    assert any(row["activations"].endswith("7-bit weights") and "loss" in row for row in offer.answers)

    for precision in ("int8", "int8_dynamic"):
        values = {one.name: precision for one in offer.decisions if precision in one.choices}
        built = technique.apply(Draft(asked.model, asked.groups, static_schemes=offer.static_schemes), values)
        onnx.save(built.model, tmp_path / f"{precision}.onnx")
        assert values
        assert number_formats(tmp_path / f"{precision}.onnx")
        assert is_reduced(tmp_path / f"{precision}.onnx")
