"""What a scheduler does to data and noise, measured with an ideal network, against its own arithmetic."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from bench import Solver, Tensor
from bench_adapters.diffusers import trial_of
from bench_adapters.schedulers import family_of
from bench_adapters.trial import Trial, run_scheduler, try_scheduler
from tests.support import adapted
from tests.support.analytic import sde


def build(scheduler: str, **parameters: Any) -> Solver:
    return adapted.build(f"diffusers:{scheduler}", **parameters)


def test_the_farthest_timestep_is_named_with_its_factor() -> None:
    trial = Trial(((0.1, 1.0), (1.0, 1.0), (1.0, 0.1)), (10.0, 2.0, 0.08), (1.0, 0.0), draws_noise=False)
    assert trial.ratios == pytest.approx((10.0, 1.0, 0.1))
    call, factor = trial.worst_call
    assert (call, factor) == (2, 2.0)
    assert trial.noise_left == 0
    assert Trial(((0.0, 1.0),), (math.inf,), (1.0, 0.0), draws_noise=False).worst_call == (1, 1.0)


def test_ddim_moves_to_the_level_that_it_steps_back_to() -> None:
    """Of ``linspace`` in 20 calls: a step goes back 50 timesteps of 1000, and the next call is 52 or 53
    below.

    At its timestep's alpha and sigma DDIM makes ``noise = (z - alpha c) / sigma`` of a state ``a c + b n``,
    and so ``a' = alpha' + sigma' (a - alpha) / sigma`` and ``b' = sigma' b / sigma``.
    """
    solver: Any = build("DDIMScheduler", config="timestep_spacing=linspace")
    ratios = np.geomspace(0.01, 150, 1000)
    scheduler = solver._make(ratios)
    trial = try_scheduler(family_of("DDIMScheduler"), lambda: solver._make(ratios), ratios)
    a, b = 1 / math.hypot(1, ratios[-1]), ratios[-1] / math.hypot(1, ratios[-1])
    for call, t in enumerate(scheduler.timesteps.tolist()):
        alpha, sigma = 1 / math.hypot(1, ratios[t]), ratios[t] / math.hypot(1, ratios[t])
        back = ratios[t - 50] if t >= 50 else 0.0
        assert trial.states[call] == pytest.approx((a, b), rel=1e-3)
        after = back / math.hypot(1, back)
        a, b = 1 / math.hypot(1, back) + after * (a - alpha) / sigma, after * b / sigma
    # alpha_bar is float32, whose rounding is 6e-8, over the lowest rho, 0.01
    assert trial.end == pytest.approx((1.0, 0.0), abs=6e-6)
    assert trial.worst_call[0] == 20
    assert trial.worst_call[1] > 1.2


@pytest.mark.parametrize(
    ("scheduler", "steps", "config"),
    [
        ("DPMSolverMultistepScheduler", 10, "algorithm_type=sde-dpmsolver++,use_karras_sigmas=true"),
        ("SASolverScheduler", 10, "use_karras_sigmas=true"),
        ("DDPMScheduler", 10, "timestep_spacing=trailing"),
        ("EulerAncestralDiscreteScheduler", 10, ""),
        ("KDPM2AncestralDiscreteScheduler", 6, ""),
        ("LTXEulerAncestralRFScheduler", 10, ""),
    ],
)
def test_one_that_draws_noise_knows_its_states_levels(scheduler: str, steps: int, config: str) -> None:
    """What its arithmetic says against the deviation of 1024 draws, 2.2 % in one standard error."""
    solver: Any = build(scheduler, steps=steps, config=config)
    family, law = family_of(scheduler), sde("vp")
    ratios = solver._ratios(law)
    own: list[float] = []

    def network(state: Tensor, _timestep: float, ratio: float) -> Tensor:
        own.append(ratio)
        return torch.zeros_like(state)

    unit = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_scheduler(family, solver._make(ratios), ratios, unit, network, torch.Generator(), "state")
    measured = try_scheduler(family, lambda: solver._make(ratios), ratios, draws=1024).ratios
    assert own == pytest.approx(measured, rel=0.09)


@pytest.mark.parametrize(
    ("scheduler", "config", "random"),
    [
        ("FlowMatchEulerDiscreteScheduler", "stochastic_sampling=true", True),
        ("FlowMatchEulerDiscreteScheduler", "", False),
        ("LTXEulerAncestralRFScheduler", "", True),
    ],
)
def test_noise_is_noticed_where_the_last_step_is_the_networks_answer(
    scheduler: str, config: str, random: bool
) -> None:
    """A network that answers with a constant would decide the result, whatever the noise."""
    for steps in (3, 10, 40):
        solver: Any = build(scheduler, steps=steps, config=config)
        assert (solver.couples_batch, trial_of(solver, sde("vp")).draws_noise) == (random, random)
