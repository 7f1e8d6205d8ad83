"""dx = sigma^t dw: its marginal, prior and chain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.diffusion.grid import schedule_of
from tests.support.analytic import sde


def test_the_marginals_variance_is_the_integral_of_the_diffusions_square() -> None:
    law = sde("ve_exp", base=10.0)
    for t in (0.2, 1.0):
        grid = np.linspace(0, t, 20_001)
        square = float(np.trapezoid(law.diffusion(grid) ** 2, grid))
        assert float(law.sigma(np.array(t))) ** 2 == pytest.approx(square, rel=1e-6)
    assert law.prior_std == pytest.approx(math.sqrt(99 / (2 * math.log(10))), rel=1e-12)
    assert float(law.sigma(np.array(0.0))) == 0


def test_ancestral_sampling_reverses_the_exact_transition_and_the_rest_euler_maruyamas() -> None:
    for step in schedule_of(sde("ve_exp"), 30):
        assert (step.a, step.ancestral_mean) == (1, 1)
        assert step.g == pytest.approx(step.diffusion / math.sqrt(30), rel=1e-12)
        assert step.ancestral_std**2 == pytest.approx(step.sigma**2 - step.sigma_next**2, rel=1e-9)
