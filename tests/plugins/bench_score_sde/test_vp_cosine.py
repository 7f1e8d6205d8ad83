"""The cosine schedule: its trained chain, strided subsequences, and the bound on the last beta."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench import BenchError
from bench.diffusion.grid import schedule_of, time_grid
from bench_score_sde.vp_cosine import VPCosine
from tests.support.analytic import sde
from tests.support.closed_form import cosine_products


def test_alpha_is_the_product_of_the_published_betas() -> None:
    law = sde("vp_cosine")
    t = np.array([1, 400, 2000, 3999, 4000])
    np.testing.assert_allclose(law.alpha(t / 4000) ** 2, np.array(cosine_products())[t], rtol=1e-9)


def test_only_the_last_beta_meets_the_bound() -> None:
    law = sde("vp_cosine", scales=100, eps=0.01)
    ratios = (law.alpha(np.arange(1, 101) / 100) / law.alpha(np.arange(100) / 100)) ** 2
    assert ratios[-1] == pytest.approx(1e-3, rel=1e-9)
    assert ratios[:-1].min() > 1e-3 * (1 + 1e-6)


@pytest.mark.parametrize("steps", [10, 33, 100])
def test_fewer_steps_are_at_trained_scales(steps: int) -> None:
    law = sde("vp_cosine", scales=100, eps=0.01)
    t = time_grid(law, steps)
    np.testing.assert_allclose(t * 100, np.round(t * 100), atol=1e-9)
    for step in schedule_of(law, steps):
        assert step.a * step.alpha_next == pytest.approx(step.alpha, rel=1e-12)


def test_log_alpha_is_linear_between_scales() -> None:
    law = sde("vp_cosine", scales=100, eps=0.01)
    assert isinstance(law, VPCosine)
    low, middle, high = (math.log(law.at(t).alpha) for t in (0.30, 0.305, 0.31))
    assert middle == pytest.approx((low + high) / 2, rel=1e-9)
    assert -2 * float(law.drift(np.array(0.303))) == pytest.approx(-2 * (high - low) / 0.01, rel=1e-9)


def test_the_chain_starts_at_its_first_scale() -> None:
    with pytest.raises(BenchError, match=r"vp_cosine\.eps must be at least 1 / scales = 0\.01, not 0\.001"):
        sde("vp_cosine", scales=100, eps=0.001)
    assert sde("vp_cosine").position(1 / 4000, 4000) == pytest.approx(0, abs=1e-9)
