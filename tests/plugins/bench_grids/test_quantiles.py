"""Grids at quantiles of a distribution: each distribution function gives evenly spaced values back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench import BenchError
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


@pytest.mark.parametrize("steps", [5, 10, 35])
@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.6), (1.0, 1.0), (2.0, 3.5)])
def test_the_beta_distributions_mass_is_even_between_times(steps: int, alpha: float, beta: float) -> None:
    from mpmath import betainc

    law = sde("vp")
    q = (grid_of("beta", alpha=alpha, beta=beta).times(law, steps) - law.eps) / (1 - law.eps)
    mass = [float(betainc(alpha, beta, 0, float(x), regularized=True)) for x in q]
    np.testing.assert_allclose(mass, np.linspace(1, 0, steps), rtol=1e-9, atol=1e-10)


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
