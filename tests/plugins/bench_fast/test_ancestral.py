"""Ancestral sampling by Euler's method against k-diffusion's, recorded."""

from __future__ import annotations

import pytest

from bench import Sampler
from bench_fast.ancestral import EulerAncestral, ancestral_ratios
from bench_fast.ddim import DDIM
from tests.support.analytic import SDES, grid_of, sde
from tests.support.authors import agrees


def test_it_is_k_diffusions() -> None:
    """``sample_euler_ancestral``."""
    agrees(EulerAncestral(), "euler_ancestral")


@pytest.mark.parametrize("law", SDES)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_its_step_is_ddims_on_every_sde(law: str, eta: float) -> None:
    """Its own equation, whose factors are of y, and DDIM's, of x."""
    for step in Sampler(sde(law), EulerAncestral(), steps=9, grid=grid_of("logsnr")).schedule()[:-1]:
        down, up = ancestral_ratios(step, eta)
        _, b, c = DDIM(eta=eta).coefficients(step)
        # y' = y + (rho_down - rho) eps + rho_up z with eps = -sigma s
        expected = -(down - step.sigma / step.alpha) * step.sigma * step.alpha_next
        assert b == pytest.approx(expected, rel=1e-9)
        assert c == pytest.approx(step.alpha_next * up, rel=1e-6, abs=1e-12)
