"""Conformance suite of filters: a filter's test class subclasses :class:`FilterConformance`.

    from my_package.shallow import Shallow
    from search.testing.filters import FilterConformance

    class TestShallow(FilterConformance):
        kind = Shallow

Needs pytest. The filter must be registered, or be an entry point of an installed package.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from search.filters import FILTERS, Filter, Scored, Untrained
from search.pruning import parameter_count
from search.tasks import TorchTask
from search.testing.nets import net
from search.testing.trainable import make_task
from search.training.recipe import Recipe


@functools.cache
def _task(name: str) -> TorchTask:
    return make_task(net(name)[0])


def make_case(name: str = "resnet", seed: int = 0) -> Untrained:
    """Returns one of the small nets as if it were a changed module, with half of its weights at random."""
    task = _task(name)
    module = task.module()
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for number, weight in enumerate(module.parameters()):
            if number % 2:
                weight.add_(0.1 * torch.randn(weight.shape, generator=rng))
    size = parameter_count(module) / parameter_count(task.module())
    return Untrained(module, task.module, task.training(), Recipe(batch=16, threads=1), size)


def draw_scores(count: int, seed: int = 0) -> list[Scored]:
    """Returns sizes and scores of so many candidates."""
    rng = np.random.default_rng(seed)
    return [Scored(float(size), float(rng.normal(10 * size, 1))) for size in rng.uniform(0.05, 1.0, count)]


class FilterConformance:
    """What every filter promises."""

    kind: ClassVar[type[Filter]]
    options: ClassVar[dict[str, Any]] = {}
    """Options of the filter, if it needs some."""

    def make(self) -> Filter:
        """Returns a filter of this kind."""
        return self.kind(self.kind.Options(**self.options))

    def decide(self, rows: Sequence[Scored], block: int = 8) -> list[str | None]:
        """Returns what it makes of each, block by block."""
        made = self.make()
        return [made.refuse(row, rows[: number // block * block]) for number, row in enumerate(rows)]

    def test_it_is_registered(self) -> None:
        assert self.kind in FILTERS.values()

    @pytest.mark.parametrize("name", ["resnet", "vit"])
    def test_a_score_is_a_finite_number_and_repeatable(self, name: str) -> None:
        scores = [self.make().score(make_case(name)) for _ in range(2)]
        assert math.isfinite(scores[0])
        assert scores[0] == scores[1]

    def test_the_global_random_state_is_no_matter(self) -> None:
        torch.manual_seed(1)
        first = self.make().score(make_case())
        torch.manual_seed(2)
        before = torch.get_rng_state()
        assert self.make().score(make_case()) == first
        assert torch.equal(torch.get_rng_state(), before)

    def test_the_teacher_is_unchanged(self) -> None:
        task, given = _task("resnet"), make_case()
        teacher = task.module()
        state = {name: values.clone() for name, values in teacher.state_dict().items()}
        self.make().score(Untrained(given.module, lambda: teacher, given.data, given.recipe, given.size))
        assert all(torch.equal(values, state[name]) for name, values in teacher.state_dict().items())

    def test_decisions_depend_on_what_they_are_given_alone(self) -> None:
        rows = draw_scores(48)
        assert self.decide(rows) == self.decide(rows)
        assert self.decide(rows[::-1]) == self.decide(rows[::-1])

    def test_it_refuses_some_and_says_why(self) -> None:
        decisions = self.decide(draw_scores(96))
        reasons = [reason for reason in decisions if reason is not None]
        assert 0 < len(reasons) < len(decisions)
        assert all(reason and "\n" not in reason for reason in reasons)

    def test_equal_candidates_are_not_all_refused(self) -> None:
        rows = [Scored(0.5, 1.0)] * 40
        assert None in self.decide(rows)

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="not permitted"):
            self.kind.Options.model_validate({**self.options, "sahre": 0.5})
