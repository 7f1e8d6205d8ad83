"""Grids at quantiles of a distribution: each distribution function gives evenly spaced values back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench import Array, BenchError
from bench.diffusion.grid import grid_times
from tests.support.analytic import grid_of, sde

BETA = {
    5: [1.0, 0.8244953155517578, 0.5005000233650208, 0.1765047013759613, 0.001],
    10: [
        *(1.0, 0.9529552459716797, 0.8545445203781128, 0.7248620986938477, 0.5772483944892883),
        *(0.4237515926361084, 0.2761378884315491, 0.14645549654960632, 0.04804472625255585, 0.001),
    ],
}
"""diffusers 0.42.1: ``FlowMatchEulerDiscreteScheduler(use_beta_sigmas=True)``, its sigmas (float32) but 0."""


@pytest.mark.parametrize("steps", BETA)
def test_beta_is_diffusers_own(steps: int) -> None:
    np.testing.assert_allclose(grid_of("beta").times(sde("vp"), steps), BETA[steps], rtol=2e-6)


def beta_mass(q: Array, alpha: float, beta: float) -> Array:
    """``int_0^q x^(alpha - 1) (1 - x)^(beta - 1) dx``, of the whole integral.

    With x = sin^2 s the integrand is ``2 sin^(2 alpha - 1) cos^(2 beta - 1)``, and with s = u^5 from 0 and
    from the other end it is smooth where these are not: Gauss-Legendre's points then leave 1e-10.
    """
    point, weight = np.polynomial.legendre.leggauss(80)

    def tail(end: Array, a: float, b: float) -> Array:
        u = (end**0.2)[:, None] * (point + 1) / 2
        values = 2 * np.sin(u**5) ** (2 * a - 1) * np.cos(u**5) ** (2 * b - 1) * 5 * u**4
        total: Array = (values * weight).sum(axis=1) * end**0.2 / 2
        return total

    s, half = np.arcsin(np.sqrt(np.clip(q, 0, 1))), np.full(1, math.pi / 4)
    low, high = tail(half, alpha, beta), tail(half, beta, alpha)
    below, above = tail(s, alpha, beta), tail(math.pi / 2 - s, beta, alpha)
    mass: Array = np.where(s <= math.pi / 4, below, low + high - above) / (low + high)
    return mass


@pytest.mark.parametrize("steps", [5, 10, 35])
@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.6), (1.0, 1.0), (2.0, 3.5)])
def test_the_beta_distributions_mass_is_even_between_times(steps: int, alpha: float, beta: float) -> None:
    law = sde("vp")
    q = (grid_of("beta", alpha=alpha, beta=beta).times(law, steps) - law.eps) / (1 - law.eps)
    np.testing.assert_allclose(beta_mass(q, alpha, beta), np.linspace(1, 0, steps), rtol=0, atol=1e-9)


@pytest.mark.parametrize("steps", [5, 10, 35])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.7)])
def test_the_logit_normals_mass_is_even_between_times(steps: int, mean: float, std: float) -> None:
    law = sde("vp")
    q = (grid_of("logit_normal", mean=mean, std=std).times(law, steps) - law.eps) / (1 - law.eps)
    assert (q[0], q[-1]) == pytest.approx((1, 0), abs=1e-12)
    inner = [math.log(x / (1 - x)) for x in q[1:-1]]
    mass = [0.5 * math.erfc((mean - logit) / (std * math.sqrt(2))) for logit in inner]
    np.testing.assert_allclose(mass, np.linspace(1, 0, steps)[1:-1], rtol=1e-9)


def test_quantiles_that_rounding_merges_are_refused() -> None:
    with pytest.raises(BenchError, match="beta is wrong on vp at 1000 steps: time 2, 1, is not below"):
        grid_times(grid_of("beta", alpha=1.0, beta=0.05), sde("vp"), 1000)
