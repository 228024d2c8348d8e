"""A policy that is a table of logits, and what policies that learn by REINFORCE share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.policies.reinforce import Baseline, entropy_weight
from search.policies.table import TablePolicy


class TestTablePolicy:
    PLANTED = (0, 2, 1, 3)

    def learnt(self, seed: int, entropy: float = 0.5, reward: Callable[..., float] | None = None) -> TablePolicy:
        policy = TablePolicy([2, 3, 3, 4], seed=seed, learning_rate=0.05, entropy=entropy)
        noise = np.random.default_rng(seed + 100)
        for step in range(300):
            draw_samples = policy.sample()
            right = sum(a == b for a, b in zip(draw_samples, self.PLANTED, strict=True)) / 4
            found = reward(noise) if reward else right + noise.normal(0, 0.2)
            policy.update([draw_samples], policy.advantages([found]), step / 300)
        return policy

    @pytest.mark.parametrize("seed", range(5))
    def test_it_learns_what_is_best(self, seed: int) -> None:
        policy = self.learnt(seed)
        assert policy.best() == self.PLANTED
        shares = policy.probabilities()
        assert min(row[value] for row, value in zip(shares, self.PLANTED, strict=True)) > 0.9

    def test_the_penalty_makes_it_settle(self) -> None:
        """On nothing but noise: who does not pay for being undecided stays so."""

        def undecided(entropy: float) -> float:
            found = []
            for seed in range(3):
                shares = self.learnt(seed, entropy, lambda noise: noise.normal()).probabilities()
                found.append(-(shares * np.log(np.maximum(shares, 1e-12))).sum(1).mean())
            return float(np.mean(found))

        assert undecided(0.5) < 0.5 * undecided(0.0)

    def test_the_penalty_grows_along_half_a_cosine(self) -> None:
        """A decision that leans is pushed on; not yet at the beginning."""
        leaning = []
        for way in (0.0, 0.5, 1.0, 2.0):
            policy = TablePolicy([2], seed=0, entropy=0.5)
            with torch.no_grad():
                policy._logits[0, 0] = 1.0
            policy.update([(0,)], [0.0], way)
            leaning.append(policy._optimizer.state[policy._logits]["exp_avg"][0, 1].item())
        assert leaning[0] == 0
        assert leaning[1] == pytest.approx(leaning[2] / 2)
        assert leaning[2] == leaning[3] > 0

    def test_what_a_decision_has_not_is_never_drawn(self) -> None:
        policy = TablePolicy([1, 2, 5], seed=3, learning_rate=0.5)
        rng = np.random.default_rng(0)
        for step in range(100):
            for draw_samples in (policy.sample(), policy.best()):
                assert all(0 <= value < count for value, count in zip(draw_samples, (1, 2, 5), strict=True))
            policy.update([policy.sample()], [rng.normal()], step / 100)
        shares = policy.probabilities()
        assert shares.shape == (3, 5)
        assert (shares[0, 1:] == 0).all()
        assert (shares[1, 2:] == 0).all()
        assert shares.sum(1) == pytest.approx(1.0, abs=1e-6)

    def test_all_that_is_possible_is_drawn_alike_at_first(self) -> None:
        policy = TablePolicy([2, 4], seed=1)
        draw_samples = [policy.sample() for _ in range(4000)]
        for place, count in enumerate((2, 4)):
            found = np.bincount([one[place] for one in draw_samples], minlength=count)
            assert found.min() > 0.85 * 4000 / count

    def test_it_begins_where_it_is_told_to(self) -> None:
        policy = TablePolicy([1, 3], seed=1, logits=[[5.0], [0.0, math.log(2), -9.0]])
        assert policy.probabilities() == pytest.approx(np.array([[1, 0, 0], [1 / 3, 2 / 3, 0]]), abs=1e-3)
        policy.update([(0, 0)], [1.0], 0.0)
        assert policy.probabilities()[1, 0] > 1 / 3

    def test_the_same_seed_draws_the_same(self) -> None:
        first, again, other = (TablePolicy([3] * 6, seed=seed) for seed in (1, 1, 2))
        draw_samples = [[policy.sample() for _ in range(20)] for policy in (first, again)]
        assert draw_samples[0] == draw_samples[1] != [other.sample() for _ in range(20)]

    def test_the_baseline_moves_with_rewards(self) -> None:
        policy = TablePolicy([2], seed=0, momentum=0.9)
        assert policy.advantages([2.0]) == [0]
        assert policy.state_dict()["baseline"] == 2
        assert policy.advantages([3.0]) == [1]
        assert policy.state_dict()["baseline"] == pytest.approx(2.1)

    def test_draws_count_against_one_another(self) -> None:
        policy = TablePolicy([2], seed=0, momentum=0.9)
        assert policy.advantages([1.0, 2.0, 6.0]) == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5])
        assert policy.state_dict()["baseline"] == 3
        policy.update([(0,), (1,)], [1.0, -1.0], 0.0)
        assert policy.best() == (0,)

    def test_it_goes_on_from_a_state_as_if_nothing_had_been(self, tmp_path: Path) -> None:
        def some(policy: TablePolicy) -> list[Any]:
            found = []
            for step in range(30):
                draw_samples = policy.sample()
                policy.update([draw_samples], policy.advantages([sum(draw_samples)]), step / 60)
                found.append((draw_samples, policy.probabilities().tolist(), policy.state_dict()["baseline"]))
            return found

        policy, other = TablePolicy([2, 3], seed=7), TablePolicy([2, 3], seed=8)
        some(policy)
        torch.save(policy.state_dict(), tmp_path / "state")
        expected = some(policy)
        other.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
        assert some(other) == expected

    def test_its_logarithms_are_of_its_probabilities(self) -> None:
        policy = TablePolicy([2, 3], seed=0, learning_rate=1.0)
        policy.update([policy.sample()], [1.0], 0.0)
        for logs, shares in zip(policy.logs(), policy.probabilities(), strict=True):
            assert np.exp(logs) == pytest.approx(shares[: len(logs)])

    def test_nothing_to_decide(self) -> None:
        policy = TablePolicy([], seed=0)
        policy.update([policy.sample()], [1.0], 0.5)
        assert policy.best() == policy.sample() == ()


def test_the_first_reward_of_a_single_draw_is_its_own_baseline() -> None:
    baseline = Baseline(0.5)
    assert [baseline.advantages([reward]) for reward in (4.0, 2.0)] == [[0.0], [-2.0]]
    assert baseline.average == 3.0


@pytest.mark.parametrize(("progress", "weight"), [(-1.0, 0.0), (0.0, 0.0), (0.5, 0.4), (1.0, 0.8), (2.0, 0.8)])
def test_the_weight_of_the_entropy_grows_along_half_a_cosine(progress: float, weight: float) -> None:
    assert entropy_weight(0.8, progress) == pytest.approx(weight)
