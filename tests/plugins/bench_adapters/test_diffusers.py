"""``diffusers:<SchedulerClass>``: against the same method of our own, and every scheduler there is."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from bench import SDE, BenchError, Prediction, Solver, Tensor
from bench.closed_form.moments import response_moments
from bench.diffusion.noise import noise_streams
from bench.diffusion.sampler import Sampler
from bench.testing.laws import mixture
from bench.testing.probe import ended, prior
from tests.support import adapted
from tests.support.adapted import LAM, MU, check_noise, sample
from tests.support.analytic import gaussian, sde
from tests.support.checks import context
from tests.support.plugins import installed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers", reason="diffusers, a test dependency, is not installed")

LAWS = ("vp", "ve", "subvp")
SCHEDULERS = [name for name in dir(diffusers) if name.endswith("Scheduler")]


def build(scheduler: str, **parameters: Any) -> Solver:
    return adapted.build(f"diffusers:{scheduler}", **parameters)


def level_of(law: str, index: int) -> SDE:
    """The SDE ended at the time of diffusers' timestep ``index`` of 1000, evenly spread."""
    chosen = sde(law)
    lowest = chosen.level_at(3e-3).t
    start = max(chosen.eps, lowest)
    return ended(chosen, start + index / 999 * (chosen.end - start))


# steps that put diffusers' timesteps on our uniform grid of as many steps: 27 intervals of 37 in 999, 40s
# from 999 down to 39, and, where the schedulers leave the lowest of 28 out, 37s from 999 down to 37
SAME = [
    ("EulerDiscreteScheduler", 28, "", "ddim", {}, 0),
    ("HeunDiscreteScheduler", 28, "", "heun", {}, 0),
    ("DDIMScheduler", 25, "timestep_spacing=trailing", "ddim", {}, 39),
    ("DPMSolverMultistepScheduler", 27, "solver_order=1", "ddim", {}, 37),
    ("DPMSolverMultistepScheduler", 27, "", "dpmpp_2m", {}, 37),
    ("DPMSolverMultistepScheduler", 27, "solver_order=3", "dpmpp_3m", {}, 37),
    ("UniPCMultistepScheduler", 27, "solver_order=1", "unipc", {"order": 1, "variant": "bh2"}, 37),
]


@pytest.mark.parametrize(("scheduler", "steps", "config", "name", "parameters", "lowest"), SAME)
@pytest.mark.parametrize("law", LAWS)
def test_it_is_our_own_of_the_same_method(
    law: str, scheduler: str, steps: int, config: str, name: str, parameters: dict[str, Any], lowest: int
) -> None:
    """On the mixture, whose score is not linear, in the whole of the project's loop.

    The library keeps ``alpha_bar`` in float32, a product of up to 1000 factors rounded by 6e-8: it may be off
    by 6e-5, and so may a state of size 1.
    """
    theirs = context().trial(build(scheduler, steps=steps, config=config), sde(law), steps, prior(3),
                 model=context().model(mixture(), sde(law)))  # fmt: skip
    own = level_of(law, lowest)
    predictor = installed().build("predictors", name, parameters)
    start = prior(3)
    ours = context().trial(
        predictor, own, steps, start, model=context().model(mixture(), own), grid="uniform"
    )
    assert theirs.calls == ours.calls == build(scheduler, steps=steps, config=config).nfe()
    off = float((theirs.x - ours.x).norm() / ours.x.norm())
    assert off < 1e-4


@pytest.mark.parametrize(
    ("scheduler", "law", "name", "parameters", "grid"),
    [
        ("EDMEulerScheduler", "ve", "ddim", {}, "polynomial"),
        ("EDMEulerScheduler", "vp", "ddim", {}, "polynomial"),
        ("EDMDPMSolverMultistepScheduler", "vp", "dpmpp_2m", {}, "polynomial"),
        ("FlowMatchEulerDiscreteScheduler", "flow", "ddim", {}, "uniform"),
        ("FlowMatchHeunDiscreteScheduler", "flow", "heun", {}, "uniform"),
    ],
)  # fmt: skip
def test_those_on_levels_of_their_own_are_our_own_too(
    scheduler: str, law: str, name: str, parameters: dict[str, Any], grid: Any
) -> None:
    """From T to eps in 20 steps; levels are float32 there, and states of some: 2e-5 of a state in all."""
    models = [context().model(mixture(), sde(law)) for _ in range(2)]
    theirs = context().trial(build(scheduler), sde(law), 20, prior(3), model=models[0])
    predictor = installed().build("predictors", name, parameters)
    ours = context().trial(predictor, sde(law), 20, prior(3), model=models[1], grid=grid)
    assert theirs.calls == ours.calls == build(scheduler).nfe()
    assert float((theirs.x - ours.x).norm() / ours.x.norm()) < 2e-5


def test_ipndm_is_the_adams_bashforth_method_to_the_end() -> None:
    """Our own ends on the expected data; here its last step, too, combines four predictions."""
    law, weights = sde("vp"), (55 / 24, -59 / 24, 37 / 24, -9 / 24)
    starts = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12))
    p = Prediction(context().model(mixture(), law), law)
    levels = [law.at(t) for t in np.linspace(law.end, law.eps, 12)]
    y, past = prior(3) / levels[0].alpha, list[Tensor]()
    ratios = [*(level.sigma / level.alpha for level in levels), 0.0]
    for number, level in enumerate(levels):
        past = [p.noise(y * level.alpha, level), *past][:4]
        used = starts[number] if number < 3 else weights
        slope = torch.stack([w * noise for w, noise in zip(used, past, strict=True)]).sum(0)
        y = y + (ratios[number + 1] - ratios[number]) * slope
    model = context().model(mixture(), law)
    theirs = context().trial(build("IPNDMScheduler", steps=12), law, 12, prior(3), model=model)
    # times between its 1000 levels are by ln rho, linear there to 1e-6 of a step's change, and float32
    assert float((theirs.x - y).norm() / y.norm()) < 1e-3


@pytest.mark.parametrize(
    ("scheduler", "config", "clean"),
    [
        ("DDIMScheduler", "", True),
        ("DDIMScheduler", "set_alpha_to_one=false", False),
        ("EulerDiscreteScheduler", "", True),
        ("EulerDiscreteScheduler", "final_sigmas_type=sigma_min", False),
        ("DPMSolverMultistepScheduler", "", True),
        ("DPMSolverMultistepScheduler", "final_sigmas_type=sigma_min", False),
        ("EDMEulerScheduler", "", True),
        ("EDMEulerScheduler", "final_sigmas_type=sigma_min", False),
        ("DEISMultistepScheduler", "", False),
        ("PNDMScheduler", "", False),
        ("SASolverScheduler", "", False),
        ("DDPMScheduler", "", True),
    ],
)
def test_one_that_leaves_noise_takes_a_denoising_step(scheduler: str, config: str, clean: bool) -> None:
    """On data that are a point the noise of the last level is left, and a denoising step leaves none."""
    solver = build(scheduler, steps=10, config=config)
    assert solver.ends_clean is clean
    law = sde("vp")
    point = gaussian(MU, np.full_like(MU, 1e-12))
    start, noise, other = noise_streams(0, 0, "cpu")
    x = start(torch.empty(64, *MU.shape, dtype=torch.float64))
    noises = {}
    for denoise in ("none", "tweedie"):
        sampler = Sampler(law, solver=solver, denoise=denoise)
        off = sampler.run(x.clone(), Prediction(point, law), noise, other) - torch.from_numpy(MU)
        noises[denoise] = float(off.square().mean().sqrt())
        if clean:
            break
    # the lowest of the schedule's levels, at eps; 4096 numbers give it to 1.1 %, in one standard error
    last = law.at(law.eps).sigma if not clean else 0.0
    assert noises["none"] == pytest.approx(last, rel=0.06, abs=1e-4)
    assert clean or noises["tweedie"] < 1e-4


@pytest.mark.parametrize(
    ("scheduler", "config", "off"),
    [
        ("DDIMScheduler", "timestep_spacing=linspace", True),
        ("PNDMScheduler", "timestep_spacing=linspace", True),
        ("DPMSolverMultistepScheduler", "use_karras_sigmas=true", True),
        ("UniPCMultistepScheduler", "use_exponential_sigmas=true", True),
        ("DEISMultistepScheduler", "use_karras_sigmas=true", True),
        ("DPMSolverMultistepScheduler", "use_lu_lambdas=true", True),
        ("EulerDiscreteScheduler", "use_karras_sigmas=true", False),
        ("DPMSolverMultistepScheduler", "", False),
        ("EDMEulerScheduler", "", False),
    ],
)
def test_a_timestep_of_another_level_is_said_before_the_run(scheduler: str, config: str, off: bool) -> None:
    """At ``levels=state`` the network is told the truth; at ``levels=timestep`` it is as in a pipeline."""
    on_state, on_timestep = (
        build(scheduler, config=config, levels=levels) for levels in ("state", "timestep")
    )
    notes = on_state.notes(sde("vp"))
    assert len(notes) == off
    assert all("\n" not in note and note.endswith("the network is told the state's") for note in notes)
    x, _ = sample(on_state, "vp", 2)
    y, _ = sample(on_timestep, "vp", 2)
    assert not off or float((x - y).norm() / x.norm()) > 1e-4


def test_the_state_s_own_level_is_nearer_to_the_flow() -> None:
    """DPM-Solver++ on Karras' levels, whose timesteps are rounded, against our own on the same levels."""
    law = sde("vp")
    model = context().model(mixture(), law)
    ours = context().trial(
        installed().build("predictors", "dpmpp_2m", {}), law, 20, prior(3), model=model, grid="polynomial"
    )
    off = {}
    for levels in ("state", "timestep"):
        chosen = build("DPMSolverMultistepScheduler", config="use_karras_sigmas=true", levels=levels)
        theirs = context().trial(chosen, law, 20, prior(3), model=model)
        off[levels] = float((theirs.x - ours.x).norm() / ours.x.norm())
    assert off["state"] < 1e-4
    assert off["timestep"] > 100 * off["state"]


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "DDIMScheduler", "HeunDiscreteScheduler"])
def test_one_step_at_the_least_noise_is_refused(name: str) -> None:
    with pytest.raises(BenchError, match="takes its only step at the level of the least noise") as error:
        Sampler(sde("vp"), solver=build(name, steps=1), denoise="none")
    assert "config=timestep_spacing=trailing" in str(error.value)
    Sampler(sde("vp"), solver=build(name, steps=1, config="timestep_spacing=trailing"), denoise="none")


def test_a_failure_on_the_sde_is_told_at_planning() -> None:
    solver = build("DPMSolverMultistepScheduler", config="use_karras_sigmas=true")
    with pytest.raises(BenchError, match=r"^diffusers:\w+: the library stops with IndexError"):
        Sampler(sde("vp_cosine"), solver=solver, denoise="none")


@pytest.mark.parametrize(
    ("scheduler", "steps", "config", "lowest"),
    [
        ("DDPMScheduler", 25, "timestep_spacing=trailing", 39),
        ("EulerAncestralDiscreteScheduler", 28, "", 0),
    ],
)
@pytest.mark.parametrize("law", ["vp", "ve"])
def test_ancestral_ones_have_the_exact_moments_of_ddim_with_all_its_noise(
    law: str, scheduler: str, steps: int, config: str, lowest: int
) -> None:
    """Pooled over 64 independent coordinates of 4000 samples: standard errors of 0.2 % and 0.28 %."""
    x, _ = sample(build(scheduler, steps=steps, config=config), law, 4000)
    ddim = installed().build("predictors", "ddim", {"eta": 1.0})
    mean, variance = response_moments(Sampler(level_of(law, lowest), ddim, steps=steps), MU, LAM)
    off = (x.mean(0).numpy() - mean) / np.sqrt(variance)
    ratio = x.var(0).numpy() / variance - 1
    assert abs(off.mean()) < 4 / math.sqrt(x.numel())
    assert abs(ratio.mean()) < 4 * math.sqrt(2 / x.numel())
    assert np.abs(ratio).max() < 5 * math.sqrt(2 / len(x))


def refusal_of(name: str) -> str:
    """Why a scheduler is not taken, or nothing."""
    try:
        build(name)
    except BenchError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_runs_or_is_refused_in_a_line(name: str) -> None:
    why = refusal_of(name)
    if why:
        assert why.startswith(f"diffusers:{name} can't sample these networks: ")
        assert "\n" not in why
        return
    solver = build(name, steps=7)
    results: list[Tensor] = []
    for law, seed in (("ve", 0), ("ve", 0), ("ve", 1), ("subvp", 0)):
        torch.manual_seed(len(results))
        before = torch.random.get_rng_state()
        x, calls = sample(solver, law, 4, seed)
        assert torch.equal(before, torch.random.get_rng_state())
        assert x.dtype == torch.float64
        assert x.isfinite().all()
        assert calls == solver.nfe()
        results.append(x)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    spacing = "timestep_spacing" in inspect.signature(getattr(diffusers, name).__init__).parameters
    # MiniMaxH3's shift of 12 is for video: few of its 50 levels are near the data
    shift = "shift=3" if name == "MiniMaxH3Scheduler" else ""
    x, _ = sample(build(name, steps=50, config="timestep_spacing=trailing" if spacing else shift), "vp", 32)
    # first order at 50 steps of these levels loses a fifth of the variance; standard errors are 2 and 3 %
    assert abs(float(((x.mean(0).numpy() - MU) / np.sqrt(LAM)).mean())) < 0.1
    assert 0.7 < float((x.var(0).numpy() / LAM).mean()) < 1.2


@pytest.mark.parametrize(
    ("scheduler", "config", "drawn"),
    [
        ("DDIMScheduler", "", False),
        ("DPMSolverMultistepScheduler", "", False),
        ("DPMSolverMultistepScheduler", "algorithm_type=sde-dpmsolver++", True),
        ("DPMSolverSDEScheduler", "", True),
        ("DDPMScheduler", "", True),
    ],
)
def test_noise_is_drawn_where_it_matters(scheduler: str, config: str, drawn: bool) -> None:
    solver = build(scheduler, steps=5, config=config)
    check_noise(solver, drawn=drawn)


def test_settings_are_those_of_the_library() -> None:
    """Karras' spacing by the scheduler's setting: another result, the same calls."""
    plain, spaced = (
        build("DPMSolverMultistepScheduler", steps=9, config=c)
        for c in ("", "use_karras_sigmas=true,solver_order=3")
    )
    x, calls = sample(plain, "vp", 2)
    y, others = sample(spaced, "vp", 2)
    assert calls == others == 9
    assert not torch.equal(x, y)
