"""The fast samplers against diffusers' implementations: the same network, grid and noise, 20 steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bench import SDE, Noise, Prediction, Predictor, Sampler, Step, Tensor
from bench.checkpoints.load import load_model
from tests.support.plugins import installed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers", reason="diffusers, a test dependency, is not installed")

# its own use of numpy is not ours to judge
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers.*")

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
    """What a state is divided by to have variance 1: sqrt(alpha^2 + sigma^2), as diffusers' are."""
    return float(np.hypot(step.alpha_next, step.sigma_next) if end else np.hypot(step.alpha, step.sigma))


def ours(predictor: Predictor, plan: list[Step], p: Prediction, x: Tensor, noise: Noise) -> Tensor:
    state = None
    for step in plan:
        x, _, state = predictor.step(x, step, p, noise, state)
    return x


def theirs(
    scheduler: Any, plan: list[Step], p: Prediction, x: Tensor, advance: Advance, *, scaled: bool = True
) -> Tensor:
    """The scheduler's own loop. Its states are x over `norm`, or (not ``scaled``) over alpha."""
    for i, step in enumerate(plan):
        eps = -step.sigma * p.score(x, step)
        z = advance(scheduler, i, eps, x / (norm(step) if scaled else step.alpha))
        x = z * (norm(step, end=True) if scaled else step.alpha_next)
    return x


def plain(scheduler: Any, i: int, eps: Tensor, z: Tensor) -> Tensor:
    found: Tensor = scheduler.step(eps, scheduler.timesteps[i], z).prev_sample
    return found


def on_grid(scheduler: Any, plan: list[Step]) -> Any:
    """The scheduler with the run's levels in place of its own; its last sigma is that after the plan."""
    scheduler.set_timesteps(len(plan))
    ratios = [s.sigma / s.alpha for s in plan] + [plan[-1].sigma_next / plan[-1].alpha_next]
    scheduler.sigmas = torch.tensor(ratios, dtype=torch.float64)
    scheduler.timesteps = torch.arange(len(plan))
    return scheduler


def multistep(name: str, **settings: Any) -> Any:
    made = getattr(diffusers, name)(prediction_type="epsilon", lower_order_final=False, **settings)
    if "thresholding" in made.config:
        assert not made.config.thresholding
    return made


SIGMAS: dict[str, tuple[str, dict[str, Any], Callable[[], Any], bool]] = {
    # predictor, its parameters, the scheduler, whether its last step is compared too
    "dpmpp_2m": ("dpmpp_2m", {}, partial(multistep, "DPMSolverMultistepScheduler", solver_order=2), True),
    "dpmpp_3m": ("dpmpp_3m", {}, partial(multistep, "DPMSolverMultistepScheduler", solver_order=3), True),
    **{
        f"unipc {order} {variant}": (
            "unipc",
            {"order": order, "variant": variant},
            partial(multistep, "UniPCMultistepScheduler", solver_order=order, solver_type=variant),
            False,  # theirs has no step to clean data at that order
        )
        for order in (1, 2, 3)
        for variant in ("bh1", "bh2")
    },
    **{
        f"deis {order}": (
            "deis",
            {"order": order, "variable": "log_sigma_ratio"},
            partial(multistep, "DEISMultistepScheduler", solver_order=order),
            False,
        )
        for order in (1, 2, 3)
    },
}

PLACES = [("gmm-cifar10", name) for name in ("ve", "vp", "subvp")] + [("cifar10-tiny", "vp")]


def agree(a: Tensor, b: Tensor, tolerance: float) -> None:
    error = float((a - b).norm() / b.norm())
    assert error < tolerance, error


def within(checkpoint: str, case: str = "") -> float:
    """How near float error lets two orders of the same arithmetic come, relative.

    States are float64 (1e-9, steps of 1e-16 enlarged); diffusers' DPM-Solver++ rounds them to float32 at
    every step (20 times 6e-8, enlarged: 1e-5), and `cifar10-tiny` is a float32 network, whose answers to
    inputs that differ by a rounding differ by more of them (1e-4, as asked for).
    """
    return 1e-4 if checkpoint == "cifar10-tiny" else 1e-5 if case.startswith("dpmpp") else 1e-9


@pytest.mark.parametrize(
    ("case", "checkpoint", "law"),
    [(case, *place) for case in SIGMAS for place in PLACES[:3]]
    + [(case, *PLACES[3]) for case in ("dpmpp_2m", "dpmpp_3m", "unipc 3 bh1", "deis 3")],
)
def test_multistep(checkpoint: str, law: str, case: str) -> None:
    name, parameters, scheduler, whole = SIGMAS[case]
    sde = installed().build("sdes", law, {})
    predictor = installed().build("predictors", name, parameters)
    plan = Sampler(sde, predictor, steps=STEPS, grid="logsnr").schedule()
    plan = plan if whole else plan[:-1]
    score = score_function(checkpoint, sde)
    x = start(score, sde)
    with torch.no_grad():
        found = ours(predictor, plan, score, x, torch.randn_like)
        agree(found, theirs(on_grid(scheduler(), plan), plan, score, x, plain), within(checkpoint, case))


@pytest.mark.parametrize(("checkpoint", "law"), PLACES)
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim(checkpoint: str, law: str, eta: float) -> None:
    sde = installed().build("sdes", law, {})
    predictor = installed().build("predictors", "ddim", {"eta": eta})
    plan = Sampler(sde, predictor, steps=STEPS, grid="polynomial").schedule()
    scheduler = diffusers.DDIMScheduler(num_train_timesteps=STEPS, clip_sample=False, set_alpha_to_one=True)
    squares = [1 / (1 + (s.sigma / s.alpha) ** 2) for s in reversed(plan)]
    scheduler.alphas_cumprod = torch.tensor(squares, dtype=torch.float64)
    scheduler.set_timesteps(STEPS)
    assert scheduler.timesteps.tolist() == list(reversed(range(STEPS)))
    score = score_function(checkpoint, sde)
    x = start(score, sde)
    draws = torch.randn(STEPS, *x.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    left = iter(draws.clone())  # a draw may be overwritten

    def step(scheduler: Any, i: int, eps: Tensor, z: Tensor) -> Tensor:
        found: Tensor = scheduler.step(
            eps, int(scheduler.timesteps[i]), z, eta=eta, variance_noise=draws[i] if eta else None
        ).prev_sample
        return found

    with torch.no_grad():
        found = ours(predictor, plan, score, x, lambda _: next(left))
        agree(found, theirs(scheduler, plan, score, x, step), within(checkpoint))


@pytest.mark.parametrize(("checkpoint", "law"), PLACES)
def test_heun(checkpoint: str, law: str) -> None:
    sde = installed().build("sdes", law, {})
    predictor = installed().build("predictors", "heun", {})
    plan = Sampler(sde, predictor, steps=STEPS, grid="polynomial").schedule()
    scheduler = diffusers.HeunDiscreteScheduler(prediction_type="epsilon")
    scheduler.set_timesteps(STEPS)
    ratios = torch.tensor([s.sigma / s.alpha for s in plan] + [0.0], dtype=torch.float64)
    # twice each, but for the first and the end: a call at both ends of a step
    scheduler.sigmas = torch.cat([ratios[:1], ratios[1:-1].repeat_interleave(2), ratios[-1:]])
    scheduler.timesteps = torch.arange(2 * STEPS - 1)
    score = score_function(checkpoint, sde)
    x = start(score, sde)
    levels = [plan[0], *(s for s in plan[1:] for _ in range(2))]
    with torch.no_grad():
        y = x / plan[0].alpha
        for t, level in zip(scheduler.timesteps, levels, strict=True):
            eps = -level.sigma * score.score(y * level.alpha, level)
            y = scheduler.step(eps, t, y).prev_sample
        agree(ours(predictor, plan, score, x, torch.randn_like), y, within(checkpoint))


@pytest.mark.parametrize(("checkpoint", "law"), PLACES)
@pytest.mark.parametrize("order", [4])
def test_ipndm(checkpoint: str, law: str, order: int) -> None:
    sde = installed().build("sdes", law, {})
    predictor = installed().build("predictors", "ipndm", {"order": order})
    plan = Sampler(sde, predictor, steps=STEPS, grid="polynomial").schedule()[:-1]
    scheduler = diffusers.IPNDMScheduler()
    scheduler.set_timesteps(len(plan))
    # its own alphas and betas are those of a trigonometric schedule
    scales = [(s.alpha / norm(s), s.sigma / norm(s)) for s in plan]
    last = plan[-1]
    scales.append((last.alpha_next / norm(last, end=True), last.sigma_next / norm(last, end=True)))
    scheduler.alphas, scheduler.betas = torch.tensor(scales, dtype=torch.float64).T
    scheduler.timesteps = torch.arange(len(scales))
    score = score_function(checkpoint, sde)
    x = start(score, sde)

    def step(scheduler: Any, i: int, eps: Tensor, z: Tensor) -> Tensor:
        # it takes what it is given times alpha, and z times sigma, for the noise
        output = (eps - scheduler.betas[i] * z) / scheduler.alphas[i]
        return plain(scheduler, i, output, z)

    with torch.no_grad():
        found = ours(predictor, plan, score, x, torch.randn_like)
        agree(found, theirs(scheduler, plan, score, x, step), within(checkpoint))
