from __future__ import annotations

import math

import numpy as np
import pytest

from evaluators.probing.granularity import granularity
from evaluators.probing.operators import WIDTHS


def sweep(step: int, power: float, *, noise: float = 0.0, widths: tuple[int, ...] = WIDTHS) -> dict[int, float]:
    rng = np.random.default_rng(0)
    return {
        width: (5.0 + (math.ceil(width / step) * step) ** power) * (1 + noise * rng.standard_normal())
        for width in widths
    }


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("step", [8, 16, 32, 64])
def test_a_step_is_found(step: int, power: float) -> None:
    found = granularity(sweep(step, power))
    assert found is not None
    assert found.step == step
    assert found.saved < 0.01


@pytest.mark.parametrize("power", [1, 2])
def test_a_smooth_curve_has_no_steps(power: float) -> None:
    found = granularity(sweep(1, power))
    assert found is not None
    assert found.step is None
    assert found.saved > 0.5


@pytest.mark.parametrize("step", [1, 16])
def test_noise_neither_makes_nor_hides_steps(step: int) -> None:
    found = granularity(sweep(step, 2, noise=0.02))
    assert found is not None
    assert found.step == (None if step == 1 else step)


def test_widths_that_run_in_a_slower_kernel_confirm_the_step() -> None:
    times = sweep(16, 2)
    times |= {width: 1.5 * times[width] for width in WIDTHS if width % 16}
    found = granularity(times)
    assert found is not None
    assert (found.step, found.saved) == (16, 0.0)


def test_too_few_widths_and_flat_times_say_nothing() -> None:
    assert granularity({64: 1.0, 128: 2.0, 256: 4.0, 512: 8.0}) is None
    assert granularity(dict.fromkeys(WIDTHS, 3.0)) is None
    assert granularity({}) is None
