"""The published chains of VE and VP."""

from __future__ import annotations

import numpy as np
import pytest

from bench import BenchError
from bench.diffusion.grid import schedule_of
from tests.support.analytic import sde


def test_vp_chain_is_ddpms() -> None:
    """At 1000 scales prod a_i^2 = prod(1 - beta_i), which DDPM's table ends at 4.04e-5."""
    beta = np.linspace(0.1 / 1000, 20.0 / 1000, 1000)
    chain = schedule_of(sde("vp"), 1000)[::-1]
    squares = np.array([s.a for s in chain]) ** 2
    np.testing.assert_allclose(np.cumprod(squares), np.cumprod(1 - beta), rtol=1e-12)
    assert np.prod(squares) == pytest.approx(4.036e-5, rel=1e-3)
    np.testing.assert_allclose([s.g**2 for s in chain], beta, rtol=1e-12)
    np.testing.assert_allclose([s.alpha_ratio for s in chain], 1 - beta, rtol=1e-12)


def test_twice_the_scales_halve_the_betas() -> None:
    betas = np.array([s.g for s in schedule_of(sde("vp"), 2000)][::-1]) ** 2
    np.testing.assert_allclose(betas, np.linspace(0.1, 20.0, 2000) / 2000, rtol=1e-12)
    assert betas[-1] == pytest.approx(schedule_of(sde("vp"), 1000)[0].g ** 2 / 2)


def test_ve_chain_is_geometric() -> None:
    """Twice the scales keep sigma_min and sigma_max; below the smallest scale sigma is zero."""
    for count in (1000, 2000):
        chain = schedule_of(sde("ve"), count)[::-1]
        reached = np.cumsum([s.g**2 for s in chain])
        np.testing.assert_allclose(reached, np.geomspace(0.01, 50, count) ** 2, rtol=1e-9)
        assert {s.a for s in chain} == {1.0}


def test_sub_vps_chain_is_euler_maruyamas() -> None:
    law = sde("subvp")
    for step in schedule_of(law, 40):
        assert step.a == pytest.approx(1 + step.drift / 40, rel=1e-12)
        assert step.g == pytest.approx(step.diffusion / np.sqrt(40), rel=1e-12)


def test_parameters_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(BenchError, match=r"ve\.sigma_min \(2\) must be below ve\.sigma_max \(1\)"):
        sde("ve", sigma_min=2.0, sigma_max=1.0)
    with pytest.raises(BenchError, match=r"vp\.beta_min \(3\) must not exceed beta_max \(2\)"):
        sde("vp", beta_min=3.0, beta_max=2.0)
