"""Quality figures against numbers computed by hand."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluators.measuring.quality import (
    Scores,
    check_finite,
    classification,
    false_negatives,
    fidelity,
    run_all,
    summarise,
)
from evaluators.runtimes.base import Session
from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles.errors import BuildFailed, InvalidInput


def rows(*values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


class TestCosine:
    @pytest.mark.parametrize(
        ("ours", "theirs", "expected"),
        [
            ([1.0, 2.0], [1.0, 2.0], 1.0),
            ([1.0, 2.0], [10.0, 20.0], 1.0),
            ([1.0, 0.0], [0.0, 5.0], 0.0),
            ([1.0, 2.0], [-1.0, -2.0], -1.0),
            ([3.0, 4.0], [4.0, 3.0], 24 / 25),
            ([0.0, 0.0], [0.0, 0.0], 1.0),
            ([0.0, 0.0], [1.0, 0.0], 0.0),
            ([1.0, 0.0], [0.0, 0.0], 0.0),
            ([1e-30, 0.0], [1e-30, 1e-30], math.sqrt(0.5)),
            ([1e30, 0.0], [1e30, 1e30], math.sqrt(0.5)),
        ],
    )
    def test_by_hand(self, ours: list[float], theirs: list[float], expected: float) -> None:
        assert fidelity({"y": rows(ours)}, {"y": rows(theirs)})["cosine"] == pytest.approx([expected])

    def test_it_is_never_above_one(self) -> None:
        values = np.random.default_rng(0).standard_normal((500, 7)).astype(np.float32)
        assert fidelity({"y": values}, {"y": values})["cosine"].max() <= 1.0

    def test_one_figure_a_sample(self) -> None:
        scores = fidelity({"y": rows([1, 0], [0, 1])}, {"y": rows([1, 0], [1, 0])})
        assert scores["cosine"].tolist() == [1.0, 0.0]

    def test_outputs_of_any_rank_are_flattened(self) -> None:
        ours = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
        theirs = ours[:, ::-1]
        flat = fidelity({"y": ours.reshape(2, -1)}, {"y": theirs.reshape(2, -1)})
        assert fidelity({"y": ours}, {"y": theirs})["cosine"] == pytest.approx(flat["cosine"])

    def test_several_outputs_count_alike(self) -> None:
        ours = {"a": rows([1, 0]), "b": rows([1, 0, 0, 0])}
        theirs = {"a": rows([1, 0]), "b": rows([0, 1, 0, 0])}
        assert fidelity(ours, theirs)["cosine"].tolist() == [0.5]

    def test_whole_numbers_have_no_direction(self) -> None:
        assert fidelity({"y": np.array([[1, 2]])}, {"y": np.array([[1, 2]])}) == {}

    def test_single_numbers_are_taken_together(self) -> None:
        """One number alone could only agree in sign."""
        rng = np.random.default_rng(0)
        ours, theirs = rng.standard_normal((2, 40, 1)).astype(np.float32)
        found = fidelity({"y": ours}, {"y": theirs})["cosine"]
        assert found.shape == (40,)
        assert len(set(found)) == 3
        first = ours[:16, 0].astype(float) @ theirs[:16, 0] / np.linalg.norm(ours[:16]) / np.linalg.norm(theirs[:16])
        assert found[0] == pytest.approx(first, abs=1e-6)
        assert fidelity({"y": ours}, {"y": ours})["cosine"] == pytest.approx(1.0)

    def test_half_precision(self) -> None:
        values = rows([300.0, 400.0]).astype(np.float16)
        assert fidelity({"y": values}, {"y": rows([3.0, 4.0])})["cosine"] == pytest.approx([1.0])


class TestTopOne:
    def test_by_hand(self) -> None:
        scores = fidelity({"y": rows([1, 2, 3], [3, 2, 1])}, {"y": rows([0, 0, 1], [0, 1, 0])})
        assert scores["top1_agreement"].tolist() == [1.0, 0.0]

    def test_every_token_counts(self) -> None:
        ours = np.array([[[1, 0], [0, 1], [1, 0], [1, 0]]], np.float32)
        theirs = np.array([[[1, 0], [1, 0], [1, 0], [0, 1]]], np.float32)
        assert fidelity({"y": ours}, {"y": theirs})["top1_agreement"].tolist() == [0.5]

    def test_it_is_the_first_output_with_classes(self) -> None:
        ours = {"count": np.array([[1, 2]]), "scalar": rows([1.0]), "logits": rows([1, 2]), "more": rows([2, 1])}
        theirs = {"count": np.array([[2, 1]]), "scalar": rows([1.0]), "logits": rows([1, 2]), "more": rows([1, 2])}
        assert fidelity(ours, theirs)["top1_agreement"].tolist() == [1.0]

    def test_a_single_number_has_no_classes(self) -> None:
        assert "top1_agreement" not in fidelity({"y": rows([1.0])}, {"y": rows([2.0])})


class TestClassification:
    def test_by_hand(self) -> None:
        scores = classification(rows([0, 0], [math.log(3), 0], [0, math.log(3)]), np.array([0, 0, 0]))
        assert scores["accuracy"].tolist() == [1.0, 1.0, 0.0]
        assert scores["nll"] == pytest.approx([math.log(2), math.log(4 / 3), math.log(4)], abs=1e-6)

    def test_large_logits_do_not_overflow(self) -> None:
        scores = classification(rows([1e4, 0], [1e4, 0]), np.array([0, 1]))
        assert scores["nll"] == pytest.approx([0.0, 1e4])

    def test_a_constant_more_changes_nothing(self) -> None:
        logits, labels = np.random.default_rng(0).standard_normal((20, 5)), np.arange(20) % 5
        one, other = classification(logits, labels), classification(logits + 7, labels)
        assert one["accuracy"].tolist() == other["accuracy"].tolist()
        assert one["nll"] == pytest.approx(other["nll"])

    @pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
    def test_labels_of_any_whole_type(self, kind: type) -> None:
        assert classification(rows([0, 1]), np.array([1], kind))["accuracy"].tolist() == [1.0]


class TestSummary:
    def test_means(self) -> None:
        quality = summarise({"accuracy": np.array([1.0, 0.0, 1.0, 1.0]), "nll": np.array([0.5, 1.5, 0.5, 0.5])}, None)
        assert quality.metrics == {"accuracy": 0.75, "nll": 0.75}
        assert set(quality.intervals) == {"accuracy", "nll"}
        low, high = quality.intervals["accuracy"]
        assert 0.0 <= low < 0.75 < high <= 1.0

    def test_samples_of_one_source_widen_the_interval(self) -> None:
        correct = np.repeat(np.random.default_rng(0).random(60) < 0.8, 8).astype(float)
        scores: Scores = {"accuracy": correct}
        naive = summarise(scores, None)
        clustered = summarise(scores, np.repeat(np.arange(60), 8))
        assert clustered.metrics == naive.metrics
        assert np.ptp(clustered.intervals["accuracy"]) > 2 * np.ptp(naive.intervals["accuracy"])

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_figure_that_is_none(self, value: float) -> None:
        with pytest.raises(BuildFailed, match="metric 'nll' is NaN or infinite"):
            summarise({"accuracy": np.ones(3), "nll": np.array([0.5, value, 0.5])}, None)

    def test_it_repeats(self) -> None:
        scores: Scores = {"accuracy": np.random.default_rng(0).random(50)}
        assert summarise(scores, None) == summarise(scores, None)


class TestFinite:
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
    def test_a_number_that_is_none(self, value: float, kind: type) -> None:
        with pytest.raises(BuildFailed, match="output 'y' holds NaN or infinity"):
            check_finite([("x", np.zeros(3)), ("y", np.array([0.0, value], kind))])

    def test_other_numbers(self) -> None:
        check_finite([("x", np.zeros(3)), ("y", np.array([1, 2])), ("z", np.array(["text"]))])


class Doubling(Session):
    """Answers with twice its input, and remembers the sizes of its batches."""

    inputs = (TensorSpec("x", "float32", (None, 2)),)
    outputs = (TensorSpec("y", "float32", (None, 2)),)

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, feed: Arrays) -> dict[str, Array]:
        self.sizes.append(len(feed["x"]))
        return {"y": np.asarray(feed["x"] * 2)}

    def time_ms(self, feed: Arrays) -> float:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class TestRunAll:
    @pytest.fixture(autouse=True)
    def quiet(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A measurement that runs on this machine is none of its business."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    @pytest.mark.parametrize(
        ("count", "batch", "workers"), [(1, 1, 1), (100, 1, 1), (100, 3, 2), (97, 8, 1), (64, 4, 4)]
    )
    def test_all_samples_in_order(self, count: int, batch: int, workers: int) -> None:
        x = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
        session = Doubling()
        found = run_all(session, {"x": x}, batch=batch, workers=workers)
        np.testing.assert_array_equal(found["y"], 2 * x)
        assert max(session.sizes) <= batch
        assert sum(session.sizes) == count

    @pytest.mark.parametrize("bad", [0, 57, 99])
    def test_a_number_that_is_none(self, bad: int) -> None:
        x: Any = np.zeros((100, 2), np.float32)
        x[bad, 1] = np.nan
        with pytest.raises(BuildFailed, match="NaN"):
            run_all(Doubling(), {"x": x}, batch=4, workers=1)


class TestFalseNegatives:
    LABELS = np.array([0, 0, 1, 1, 1, 2])

    def rates(self, predicted: list[int], *classes: int) -> dict[str, float]:
        scores = false_negatives(np.eye(3, dtype=np.float32)[predicted], self.LABELS, classes)
        return {name: float(values.mean()) for name, values in scores.items()}

    @pytest.mark.parametrize(
        ("predicted", "zero", "one", "two"),
        [
            ([0, 0, 1, 1, 1, 2], 0, 0, 0),
            ([1, 0, 1, 1, 1, 2], 1 / 2, 0, 0),
            ([0, 0, 0, 2, 1, 2], 0, 2 / 3, 0),
            ([1, 1, 1, 1, 1, 1], 1, 0, 1),
        ],
    )
    def test_the_share_of_a_class_that_is_missed(
        self, predicted: list[int], zero: float, one: float, two: float
    ) -> None:
        assert self.rates(predicted, 0, 1, 2) == pytest.approx({"fnr:0": zero, "fnr:1": one, "fnr:2": two})

    def test_only_of_named_classes(self) -> None:
        assert set(self.rates([0] * 6, 1)) == {"fnr:1"}
        assert self.rates([0] * 6) == {}

    def test_it_has_an_interval_as_other_figures_do(self) -> None:
        scores = false_negatives(np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 1, 2]], self.LABELS, [1])
        low, high = summarise(scores, None).intervals["fnr:1"]
        assert low < 1 / 3 < high

    def test_a_class_without_samples_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="class 7") as caught:
            self.rates([0] * 6, 7)
        assert "0, 1, 2" in caught.value.hint
