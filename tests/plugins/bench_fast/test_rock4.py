"""ROCK4's table against the conditions that it was made for."""

from __future__ import annotations

import numpy as np
import pytest

from bench_fast.rock4 import ROCK4
from bench_fast.stork import rock4


@pytest.mark.parametrize("degree", ROCK4)
def test_the_conditions_of_order_4(degree: int) -> None:
    """Butcher's eight, and places at which the stages stand."""
    a, b, c = rock4(degree, published=False)
    np.testing.assert_allclose(a.sum(1), c, rtol=0, atol=1e-14)
    sums = [
        *(b.sum(), b @ c, b @ c**2, b @ a @ c),
        *(b @ c**3, (b * c) @ a @ c, b @ a @ c**2, b @ a @ a @ c),
    ]
    exact = [1, 1 / 2, 1 / 3, 1 / 6, 1 / 4, 1 / 8, 1 / 12, 1 / 24]
    np.testing.assert_allclose(sums, exact, rtol=0, atol=1e-14)


@pytest.mark.parametrize("degree", ROCK4)
def test_a_step_is_damped(degree: int) -> None:
    """Of dx/dt = x a step by z multiplies by 0.95 at most, for z from -3 to -0.31 (m + 4)^2 and beyond."""
    a, b, _ = rock4(degree, published=False)
    ones = np.ones(len(b))
    steps = -np.linspace(3, 0.31 * len(b) ** 2, 300)
    growth = [abs(1 + z * b @ np.linalg.solve(np.eye(len(b)) - z * a, ones)) for z in steps]
    assert max(growth) < 0.96
