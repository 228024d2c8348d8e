"""Filters that ship: the conformance suite, and what each adds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from hwprofiles.errors import BuildFailed, InvalidInput
from search.filters import FILTERS, Scored, Untrained, make_filters
from search.filters.parameters import Parameters
from search.filters.zico import Zico
from search.testing.filters import FilterConformance, draw_scores, make_case
from search.training.data import Samples, TrainingData
from search.training.gradients import batch_gradients
from search.training.recipe import Recipe


class TestParameters(FilterConformance):
    kind = Parameters
    options: ClassVar[dict[str, Any]] = {"least": 0.1, "most": 0.6}

    def test_both_bounds_are_allowed(self) -> None:
        sizes = (0.05, 0.1, 0.6, 0.7)
        reasons = [self.make().refuse(Scored(size, size), []) for size in sizes]
        assert reasons[1:3] == [None, None]
        assert reasons[0] == "it has 5 % of the fp32 model's parameters; at least 10 % are trained"
        assert reasons[3] == "it has 70 % of the fp32 model's parameters; at most 60 % are trained"

    def test_one_bound_is_enough_and_none_is_not(self) -> None:
        assert Parameters(Parameters.Options(most=0.5)).refuse(Scored(0.01, 0.0), []) is None
        assert Parameters(Parameters.Options(least=0.5)).refuse(Scored(2.0, 0.0), []) is None
        with pytest.raises(InvalidInput, match=r"filters\.parameters: has no bound"):
            make_filters({"parameters": {}})
        with pytest.raises(ValidationError, match="nothing lies between"):
            Parameters.Options(least=0.5, most=0.4)


class _Line(nn.Module):
    """The output is the weighted sum of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1, bias=False)
        nn.init.zeros_(self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


def _line_data(rows: Sequence[Sequence[float]]) -> TrainingData:
    samples = Samples((np.array(rows, np.float32),), np.zeros(len(rows), np.float32))
    return TrainingData("line", lambda rng: samples, samples, lambda raw, labels: raw.mean())


class TestZico(FilterConformance):
    kind = Zico

    def test_a_known_answer(self) -> None:
        """The gradient of the mean output is the input: 1 and 3 in the first weight, always -2 in the second."""
        data = _line_data([[1.0, -2.0], [3.0, -2.0]])
        recipe = Recipe(batch=1, losses={"task": {}}, threads=1)
        assert Zico(Zico.Options(batches=2)).score(Untrained(_Line(), _Line, data, recipe, 1.0)) == pytest.approx(
            math.log(2.0 / 1.0)  # a weight whose gradient never changes has no deviation to divide by
        )

    def test_a_layer_without_any_change_counts_nothing(self) -> None:
        data = _line_data([[1.0, 2.0]] * 4)
        recipe = Recipe(batch=2, losses={"task": {}}, threads=1)
        assert self.make().score(Untrained(_Line(), _Line, data, recipe, 1.0)) == 0.0

    def test_gradients_that_are_not_finite(self) -> None:
        given = make_case()
        with torch.no_grad():
            next(given.module.parameters()).fill_(math.nan)
        with pytest.raises(BuildFailed, match="not finite"):
            self.make().score(given)

    def test_nobody_is_refused_before_enough_are_known(self) -> None:
        rows = [Scored(row.size, row.score - number) for number, row in enumerate(draw_scores(24))]
        assert self.decide(rows, block=1)[:16] == [None] * 16
        assert self.decide(rows, block=1)[-1] is not None

    def test_about_the_share_is_refused_at_every_size(self) -> None:
        """Also of sizes that were not seen before, although scores grow with the size."""
        rows = sorted(draw_scores(400), key=lambda row: -row.size)
        refused = [reason is not None for reason in self.decide(rows)]
        assert 0.1 < np.mean(refused[100:]) < 0.45
        large, small = np.mean(refused[100:250]), np.mean(refused[250:])
        assert 0.05 < large < 0.5
        assert 0.05 < small < 0.6

    def test_the_reason_names_figures(self) -> None:
        rows = [Scored(0.5, float(n)) for n in range(20)]
        reason = self.make().refuse(Scored(0.5, 1.5), rows)
        assert reason == "18 of 20 earlier modules have better gradients for their size"


def test_gradients_are_those_of_each_batch_alone() -> None:
    data = _line_data([[1.0, 0.0], [0.0, 1.0]])
    recipe = Recipe(batch=1, losses={"task": 2.0}, threads=1)
    batches = batch_gradients(_Line(), _Line(), data, recipe, 2)
    rows = sorted(batch["layer.weight"].tolist() for batch in batches)
    assert rows == [[0.0, 2.0], [2.0, 0.0]]


def test_names_and_options_are_checked() -> None:
    assert list(make_filters({"zico": {}, "parameters": {"most": 0.5}})) == ["zico", "parameters"]
    with pytest.raises(InvalidInput, match="filters: unknown filter 'zicco'") as caught:
        make_filters({"zicco": {}})
    assert "zico" in caught.value.hint
    with pytest.raises(InvalidInput, match=r"filters\.zico\.worst"):
        make_filters({"zico": {"worst": 1.5}})
    assert set(FILTERS) == {"parameters", "zico"}
