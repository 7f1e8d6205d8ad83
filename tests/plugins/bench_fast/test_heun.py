"""Heun's method against diffusers', and the raise of its noise."""

from __future__ import annotations

import pytest
import torch

from bench import Sampler
from bench_fast.heun import Heun
from tests.support.analytic import grid_of
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
    within,
)

pytestmark = quiet


@pytest.mark.parametrize(("checkpoint", "law"), PLACES)
def test_it_is_diffusers(checkpoint: str, law: str) -> None:
    sde = installed().build("sdes", law, {})
    predictor = installed().build("predictors", "heun", {})
    schedule = Sampler(sde, predictor, steps=STEPS, grid=grid_of("polynomial")).schedule()
    scheduler = diffusers.HeunDiscreteScheduler(prediction_type="epsilon")
    scheduler.set_timesteps(STEPS)
    ratios = torch.tensor([s.sigma / s.alpha for s in schedule] + [0.0], dtype=torch.float64)
    # twice each, but for the first and the end: a call at both ends of a step
    scheduler.sigmas = torch.cat([ratios[:1], ratios[1:-1].repeat_interleave(2), ratios[-1:]])
    scheduler.timesteps = torch.arange(2 * STEPS - 1)
    p = score_function(checkpoint, sde)
    x = start(p, sde)
    levels = [schedule[0], *(s for s in schedule[1:] for _ in range(2))]
    with torch.no_grad():
        y = x / schedule[0].alpha
        for t, level in zip(scheduler.timesteps, levels, strict=True):
            eps = -level.sigma * p.score(y * level.alpha, level)
            y = scheduler.step(eps, t, y).prev_sample
        agree(ours(predictor, schedule, p, x, torch.randn_like), y, within(checkpoint))


@pytest.mark.parametrize("law", ["ve", "vp", "subvp"])
def test_churn_raises_the_noise_within_its_range_and_never_above_the_priors(law: str) -> None:
    """gamma is s_churn / N, and at most sqrt(2) - 1 (Karras et al. 2022, Algorithm 2)."""
    chosen = law_of(law)
    schedule = Sampler(chosen, Heun(), steps=10, grid=grid_of("polynomial")).schedule()
    ratios = [step.sigma / step.alpha for step in schedule]
    inner = Heun(s_churn=1.0, s_tmin=ratios[-2], s_tmax=ratios[1])
    for step, ratio in zip(schedule[1:-1], ratios[1:-1], strict=True):
        raised = inner.raised_level(chosen, step)
        assert raised.sigma / raised.alpha == pytest.approx(1.1 * ratio, rel=1e-9)
        most = Heun(s_churn=100.0).raised_level(chosen, step)
        assert most.sigma / most.alpha == pytest.approx(min(2**0.5 * ratio, ratios[0]), rel=1e-9)
    assert inner.raised_level(chosen, schedule[0]) is schedule[0]
    assert inner.raised_level(chosen, schedule[-1]) is schedule[-1]
    assert Heun(s_churn=1.0).raised_level(chosen, schedule[0]).t == pytest.approx(chosen.end)
    assert Heun().raised_level(chosen, schedule[3]) is schedule[3]
