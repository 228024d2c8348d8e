"""Student's distribution against SciPy's."""

from __future__ import annotations

import pytest
from scipy.special import stdtr, stdtrit

from evaluators.measuring.student import inside, quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 8, 15, 30, 99, 400])
class TestStudent:
    @pytest.mark.parametrize("score", [0.0, 0.3, 1.0, 2.5, 8.0])
    def test_the_chance(self, freedom: int, score: float) -> None:
        assert inside(score, freedom) == pytest.approx(1 - 2 * stdtr(freedom, -score), abs=1e-12)

    @pytest.mark.parametrize("confidence", [0.5, 0.95, 0.955, 0.99])
    def test_the_quantile(self, freedom: int, confidence: float) -> None:
        assert quantile(freedom, confidence) == pytest.approx(stdtrit(freedom, (1 + confidence) / 2), rel=1e-9)


def test_a_score_without_bounds() -> None:
    assert inside(float("inf"), 5) == pytest.approx(1.0)
