"""diffusers' own implementations of the fast samplers, on the project's levels: the other side of tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bench import SDE, Noise, Prediction, Predictor, Sampler, Step, Tensor
from bench.checkpoints.load import load_model
from tests.support.analytic import grid_of
from tests.support.plugins import installed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers", reason="diffusers, a test dependency, is not installed")

# the library's own use of numpy does not concern these tests
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")

STEPS = 20
Advance = Callable[[Any, int, Tensor, Tensor], Tensor]
"""``advance(scheduler, i, eps, z)``: the scheduler's next state."""


def score_function(checkpoint: str, sde: SDE) -> Prediction:
    card = installed().get("checkpoints", checkpoint).thing
    return Prediction(load_model(card, sde, torch.device("cpu"), installed(), dtype=torch.float64), sde)


def start(p: Prediction, sde: SDE) -> Tensor:
    """A state at T (2, ...), float64."""
    x = torch.randn(2, *p.model.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return x * sde.prior_std


def norm(step: Step, *, end: bool = False) -> float:
    """sqrt(alpha^2 + sigma^2), by which a state has variance 1, as diffusers' have."""
    return float(np.hypot(step.alpha_next, step.sigma_next) if end else np.hypot(step.alpha, step.sigma))


def ours(predictor: Predictor, schedule: list[Step], p: Prediction, x: Tensor, noise: Noise) -> Tensor:
    state = None
    for step in schedule:
        x, _, state = predictor.step(x, step, p, noise, state)
    return x


def theirs(
    scheduler: Any, schedule: list[Step], p: Prediction, x: Tensor, advance: Advance, *, scaled: bool = True
) -> Tensor:
    """The scheduler's own loop. Its states are x over `norm`, or (not ``scaled``) over alpha."""
    for i, step in enumerate(schedule):
        eps = -step.sigma * p.score(x, step)
        z = advance(scheduler, i, eps, x / (norm(step) if scaled else step.alpha))
        x = z * (norm(step, end=True) if scaled else step.alpha_next)
    return x


def plain(scheduler: Any, i: int, eps: Tensor, z: Tensor) -> Tensor:
    stepped: Tensor = scheduler.step(eps, scheduler.timesteps[i], z).prev_sample
    return stepped


def on_grid(scheduler: Any, schedule: list[Step]) -> Any:
    """The scheduler with the run's levels in place of its own; its last sigma is that after the schedule."""
    scheduler.set_timesteps(len(schedule))
    ratios = [s.sigma / s.alpha for s in schedule] + [schedule[-1].sigma_next / schedule[-1].alpha_next]
    scheduler.sigmas = torch.tensor(ratios, dtype=torch.float64)
    scheduler.timesteps = torch.arange(len(schedule))
    return scheduler


def multistep(name: str, **settings: Any) -> Any:
    scheduler = getattr(diffusers, name)(prediction_type="epsilon", lower_order_final=False, **settings)
    if "thresholding" in scheduler.config:
        assert not scheduler.config.thresholding
    return scheduler


PLACES = [("gmm-cifar10", name) for name in ("ve", "vp", "subvp")] + [("cifar10-tiny", "vp")]


def agree(a: Tensor, b: Tensor, tolerance: float) -> None:
    error = float((a - b).norm() / b.norm())
    assert error < tolerance, error


def within(checkpoint: str, case: str = "") -> float:
    """How near float error lets two orders of the same arithmetic come, relative.

    States are float64 (1e-9, steps of 1e-16 enlarged); diffusers' DPM-Solver++ rounds them to float32 at
    every step (20 times 6e-8, enlarged: 1e-5), and `cifar10-tiny` is a float32 network, whose answers to
    inputs that differ by a rounding differ by more of them (1e-4).
    """
    return 1e-4 if checkpoint == "cifar10-tiny" else 1e-5 if case.startswith("dpmpp") else 1e-9


def check_multistep(
    checkpoint: str,
    law: str,
    case: str,
    name: str,
    parameters: dict[str, Any],
    scheduler: Callable[[], Any],
    *,
    whole: bool = True,
) -> None:
    """20 steps of a multistep predictor are the scheduler's; of all but the last where not ``whole``.

    Of one order up to eps, on both sides: the library lowers it by rules of its own.
    """
    sde = installed().build("sdes", law, {})
    predictor = installed().build("predictors", name, {**parameters, "lower_order_final": "never"})
    schedule = Sampler(sde, predictor, steps=STEPS, grid=grid_of("logsnr")).schedule()
    schedule = schedule if whole else schedule[:-1]
    p = score_function(checkpoint, sde)
    x = start(p, sde)
    with torch.no_grad():
        x_ours = ours(predictor, schedule, p, x, torch.randn_like)
        x_theirs = theirs(on_grid(scheduler(), schedule), schedule, p, x, plain)
        agree(x_ours, x_theirs, within(checkpoint, case))
