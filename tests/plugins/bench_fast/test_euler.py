"""Euler's method on the probability flow."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench import Prediction, Sampler
from tests.support.analytic import gaussian, sde
from tests.support.plugins import installed

MEAN, VARIANCE = np.array([-0.3, 0.4]), np.array([0.01, 0.3])


def test_the_steps_are_eulers_in_t() -> None:
    """Written out on VP with f and g^2, which it does not use; the last step is Tweedie's formula."""
    law = sde("vp")
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sampler = Sampler(law, installed().build("predictors", "euler", {}), steps=24)
    result = sampler.run(x, Prediction(gaussian(MEAN, VARIANCE), law), torch.randn_like, torch.randn_like)
    times = np.linspace(1, 1e-3, 24)
    for i, t in enumerate(times):
        beta, alpha = 0.1 + 19.9 * t, math.exp(-0.05 * t - 4.975 * t**2)
        score = (alpha * torch.from_numpy(MEAN) - x) / (alpha**2 * torch.from_numpy(VARIANCE) + 1 - alpha**2)
        if i < 23:
            x = x + (times[i + 1] - t) * (-beta / 2 * x - beta / 2 * score)
        else:
            x = (x + (1 - alpha**2) * score) / alpha
    torch.testing.assert_close(result, x, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["flow", "vp"])
def test_on_flow_and_there_alone_it_is_ddim(name: str) -> None:
    """Straight lines: x' = (1 - t') D + t' E and x + (t' - t) (E - D) are one and the same."""
    law = sde(name)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    euler, ddim = (
        Sampler(law, installed().build("predictors", predictor, {}), steps=24).run(
            x, Prediction(gaussian(MEAN, VARIANCE), law), torch.randn_like, torch.randn_like
        )
        for predictor in ("euler", "ddim")
    )
    assert (float((euler - ddim).abs().max()) < 1e-13) == (name == "flow")


def test_it_runs_at_any_number_of_steps() -> None:
    """It reads no chain, of which VP has none below 21 steps."""
    assert len(Sampler(sde("vp"), installed().build("predictors", "euler", {}), steps=10).schedule()) == 10
