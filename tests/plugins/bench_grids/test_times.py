"""Grids that are even in a function of time: against the authors' formulas and diffusers' numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import SDE
from bench.diffusion.grid import grid_times
from tests.support.analytic import grid_of, sde
from tests.support.laws import laws, properties

NAMES = ("uniform", "time_uniform", "quadratic", "shift", "beta", "logit_normal", "logsnr", "polynomial")
"""Grids that every SDE takes at every number of steps."""


@properties
@given(laws(), st.integers(1, 200), st.sampled_from(NAMES))
def test_every_grid_falls_from_the_prior_to_eps(law: SDE, steps: int, name: str) -> None:
    t = grid_times(grid_of(name), law, steps)
    assert t.shape == (steps,)
    assert (t[-1], t[0]) == (law.end, law.eps if steps > 1 else law.end)
    assert (np.diff(t) > 0).all()


@pytest.mark.parametrize("steps", [5, 10, 35])
@pytest.mark.parametrize("rho", [1.0, 2.0, 3.0])
def test_time_uniform_is_deis_s_power_of_time(steps: int, rho: float) -> None:
    """Each time between by its own place among the roots, one by one."""
    law = sde("vp")
    first, last = 1.0, law.eps ** (1 / rho)
    expected = [(first + i / (steps - 1) * (last - first)) ** rho for i in range(steps)]
    np.testing.assert_allclose(grid_of("time_uniform", rho=rho).times(law, steps), expected, rtol=1e-12)


@pytest.mark.parametrize("steps", [5, 10, 35])
def test_quadratic_visits_ddims_positions(steps: int) -> None:
    """tau_i is the square of the i-th of evenly spaced numbers from 0 to sqrt(N - 1), of N = 1000 scales."""
    law = sde("vp")
    roots = [i * 999**0.5 / (steps - 1) for i in range(steps)]
    positions = (grid_of("quadratic").times(law, steps)[::-1] - law.eps) / (1 - law.eps) * 999
    np.testing.assert_allclose(positions, np.square(roots), rtol=1e-9, atol=1e-9)


SHIFTED = {
    5: [1.0, 0.9003590941429138, 0.7511211037635803, 0.5029850602149963, 0.008928571827709675],
    10: [
        *(1.0, 0.9601293206214905, 0.9133489727973938, 0.857692301273346, 0.7903682589530945),
        *(0.7072784900665283, 0.602150559425354, 0.4648760259151459, 0.2780487835407257),
        0.008928571827709675,
    ],
}
"""diffusers 0.42.1: ``FlowMatchEulerDiscreteScheduler(shift=3.0)``, its sigmas (float32) but the last, 0."""


@pytest.mark.parametrize("steps", SHIFTED)
def test_shift_is_diffusers_own(steps: int) -> None:
    law = sde("vp", eps=SHIFTED[5][-1])
    np.testing.assert_allclose(grid_of("shift").times(law, steps), SHIFTED[steps], rtol=1e-6)


@pytest.mark.parametrize("steps", [5, 10, 35])
@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 12.0])
def test_shift_multiplies_the_odds_of_even_times(steps: int, shift: float) -> None:
    """t / (1 - t), sigma / alpha of flow matching, is s times that of a time u of an even grid."""
    t = grid_of("shift", shift=shift).times(sde("vp"), steps)[1:]
    u = t / (shift - (shift - 1) * t)
    np.testing.assert_allclose(t / (1 - t), shift * u / (1 - u), rtol=1e-12)
    np.testing.assert_allclose(np.diff(u), (u[-1] - 1) / (steps - 1), rtol=1e-9)
