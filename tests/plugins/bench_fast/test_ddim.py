"""DDIM against diffusers', and its noise against ancestral sampling's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import Sampler, Tensor
from bench_fast.ddim import DDIM
from tests.support.analytic import SDES, grid_of
from tests.support.analytic import sde as law_of
from tests.support.plugins import installed
from tests.support.published_fast import (
    PLACES,
    STEPS,
    agree,
    diffusers,
    ours,
    quiet,
    score_function,
    start,
    theirs,
    within,
)

pytestmark = quiet


@pytest.mark.parametrize(("checkpoint", "law"), PLACES)
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_it_is_diffusers(checkpoint: str, law: str, eta: float) -> None:
    sde = installed().build("sdes", law, {})
    predictor = installed().build("predictors", "ddim", {"eta": eta})
    schedule = Sampler(sde, predictor, steps=STEPS, grid=grid_of("polynomial")).schedule()
    scheduler = diffusers.DDIMScheduler(num_train_timesteps=STEPS, clip_sample=False, set_alpha_to_one=True)
    squares = [1 / (1 + (s.sigma / s.alpha) ** 2) for s in reversed(schedule)]
    scheduler.alphas_cumprod = torch.tensor(squares, dtype=torch.float64)
    scheduler.set_timesteps(STEPS)
    assert scheduler.timesteps.tolist() == list(reversed(range(STEPS)))
    p = score_function(checkpoint, sde)
    x = start(p, sde)
    draws = torch.randn(STEPS, *x.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    remaining = iter(draws.clone())  # a draw may be overwritten

    def step(scheduler: Any, i: int, eps: Tensor, z: Tensor) -> Tensor:
        stepped: Tensor = scheduler.step(
            eps, int(scheduler.timesteps[i]), z, eta=eta, variance_noise=draws[i] if eta else None
        ).prev_sample
        return stepped

    with torch.no_grad():
        x_ours = ours(predictor, schedule, p, x, lambda _: next(remaining))
        agree(x_ours, theirs(scheduler, schedule, p, x, step), within(checkpoint))


@pytest.mark.parametrize("law", SDES)
def test_full_eta_is_ancestral_sampling_on_exact_transitions(law: str) -> None:
    ancestral = installed().build("predictors", "ancestral", {"variance": "posterior"})
    schedule = Sampler(law_of(law), DDIM(eta=1.0), steps=9, grid=grid_of("logsnr")).schedule()
    for step in schedule:
        # the chain starts with no noise at t = 0, which VE and its like reach only in the limit: the
        # marginals' own transition, to float error in differences of squares
        np.testing.assert_allclose(
            DDIM(eta=1.0).coefficients(step), ancestral.coefficients(step), rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("law", SDES)
def test_without_noise_data_and_noise_keep_their_factors(law: str) -> None:
    """x = alpha D + sigma eps becomes alpha' D + sigma' eps, for any D and eps."""
    for step in Sampler(law_of(law), DDIM(), steps=9, grid=grid_of("polynomial")).schedule():
        a, b, c = DDIM().coefficients(step)
        assert c == 0
        # the score is -eps / sigma
        assert a * step.alpha == pytest.approx(step.alpha_next, rel=1e-12)
        assert a * step.sigma - b / step.sigma == pytest.approx(step.sigma_next, rel=1e-9, abs=1e-12)
