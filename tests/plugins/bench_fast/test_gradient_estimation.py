"""Gradient estimation against ComfyUI's, recorded."""

from __future__ import annotations

import numpy as np

from bench_fast.ddim import DDIM
from bench_fast.gradient_estimation import GradientEstimation
from tests.support.authors import agrees, states_with_draws


def test_it_is_comfyuis() -> None:
    """``sample_gradient_estimation``, gamma = 2."""
    agrees(GradientEstimation(), "gradient_estimation")


def test_at_gamma_1_it_is_ddim() -> None:
    result = states_with_draws(GradientEstimation(gamma=1.0))
    np.testing.assert_allclose(result, states_with_draws(DDIM()), rtol=0, atol=1e-11)
