"""``diffusers:<SchedulerClass>``: a scheduler of the diffusers library, unchanged, as a solver."""

from __future__ import annotations

import functools
import inspect
import math
from typing import Any, ClassVar, Self

import numpy as np

from bench import (
    SDE,
    Array,
    BenchError,
    Noise,
    NoiseLevel,
    Prediction,
    Solver,
    Tensor,
    did_you_mean,
    draw_seed,
    param,
)
from bench_adapters.common import (
    depends_on_seed,
    import_library,
    make_member,
    options,
    quiet,
    read_settings,
    refusals,
    seeded,
)

TRAINED = 1000
"""Noise levels of the schedule that a scheduler receives."""
LOWEST = 3e-3
"""The smallest sigma / alpha of a schedule: its ``alpha_bar``, in float32, is still below 1."""
UNFIT = {
    "LCMScheduler": "it needs a network distilled for it",
    "TCDScheduler": "it needs a network distilled for it",
    "RePaintScheduler": "it fills in images",
    "DDIMInverseScheduler": "it runs from data to noise",
    "DPMSolverMultistepInverseScheduler": "it runs from data to noise",
    "CogVideoXDDIMScheduler": "it shifts the noise levels for its own network",
    "CogVideoXDPMScheduler": "it shifts the noise levels for its own network",
    "IPNDMScheduler": "its noise levels are its own (ipndm is the same method)",
}
"""Schedulers that do not sample these networks, and why."""
FIXED = (
    "trained_betas", "beta_start", "beta_end", "beta_schedule", "rescale_betas_zero_snr",
    "num_train_timesteps", "prediction_type", "use_flow_sigmas", "flow_shift", "use_dynamic_shifting",
    "time_shift_type",
)  # fmt: skip
"""Settings that the adapter makes itself."""
PLAIN = [float(beta) for beta in np.linspace(1e-4, 0.02, TRAINED)]
"""Any noise schedule, for properties that do not depend on it."""


class Diffusers(Solver):
    """A diffusers scheduler on any SDE, in its own loop: scale_model_input, network, step.

    At a level with ``rho = sigma / alpha``, ``z = x / sqrt(alpha^2 + sigma^2)`` is a variance-preserving
    state of ``alpha_bar = 1 / (1 + rho^2)``. The scheduler receives the betas of 1000 levels at times evenly
    spread from eps (or from rho = 0.003, if later) to T, chooses its steps among them by its own rules, and
    receives ``eps = -sigma s`` with the network called at the level of its timestep (between two, ln rho is
    linear). It ends on clean data. The spacing ``leading``, the default of some schedulers, omits the highest
    levels, which makes it inexact; ``config=timestep_spacing=trailing`` starts at T (for DDIM take steps that
    divide 1000).

    Raises:
        BenchError: The library is not installed, or refuses a setting.
    """

    name = "diffusers:<SchedulerClass>"
    libraries = ("diffusers",)
    ends_clean = True
    scheduler: ClassVar[str] = ""

    steps: int = param(default=20, help="the scheduler's num_inference_steps", low=1, high=TRAINED)
    config: str = param(
        default="", help="more of the scheduler's settings: solver_order=3,use_karras_sigmas=true"
    )

    @classmethod
    @functools.cache
    def member(cls, name: str) -> type[Self]:
        scheduler = _scheduler_class(name)
        if name in UNFIT or "trained_betas" not in inspect.signature(scheduler.__init__).parameters:
            reason = UNFIT.get(name, "it takes no noise schedule")
            raise BenchError(f"diffusers:{name} can't sample these networks: {reason}")
        return make_member(cls, name, "scheduler", options(scheduler.__init__, FIXED))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scheduler:
            self.nfe()  # refuses a wrong setting at once

    @property
    def couples_batch(self) -> bool:
        return _draws(self)  # one generator serves the batch

    def nfe(self) -> int | None:
        return len(self._make(PLAIN).timesteps)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        ratios = _sigma_ratios(sde)
        scheduler = self._make(_betas(ratios))
        acts = [key for key in ("clip_sample", "thresholding") if scheduler.config.get(key)]
        if acts and not p.model.states_are_items:
            raise BenchError(
                f"{self.name}: {acts[0]} acts on pixels, which the states of this checkpoint are not "
                "(they are DCT coefficients): take a network, or leave it out"
            )
        level = sde.at(sde.end)
        sample = x * (float(scheduler.init_noise_sigma) / math.hypot(level.alpha, level.sigma))
        seed = draw_seed(noise, x) if _draws(self) else 0
        with seeded(seed, x) as generator, quiet(), refusals(self.name) as callback:
            score = callback(p.score)
            for t in scheduler.timesteps:
                scaled = scheduler.scale_model_input(sample, t)
                level = _level(sde, ratios, float(t))
                state = scaled * math.hypot(level.alpha, level.sigma)
                eps = score(state.to(x.dtype), level) * -level.sigma
                sample = _step(scheduler, eps, t, sample, generator).to(x.dtype)
        return sample

    def _make(self, betas: list[float]) -> Any:
        """The scheduler on a noise schedule, with its timesteps set."""
        cls = _scheduler_class(self.scheduler)
        parameters = inspect.signature(cls.__init__).parameters
        plain = {"prediction_type": "epsilon", "clip_sample": False, "thresholding": False}
        settings = {key: value for key, value in plain.items() if key in parameters}
        settings |= read_settings(self.config, cls.__init__, FIXED, self.name)
        with quiet(), refusals(self.name):
            scheduler = cls(trained_betas=betas, num_train_timesteps=len(betas), **settings)
            scheduler.set_timesteps(self.steps)
        return scheduler


def _scheduler_class(name: str) -> Any:
    diffusers = import_library("diffusers", "diffusers")
    diffusers.utils.logging.set_verbosity_error()
    names = [n for n in dir(diffusers) if n.endswith("Scheduler")]
    if name not in names:
        hint = did_you_mean(f"{name.removesuffix('Scheduler')}Scheduler", names, "its manual")
        raise BenchError(f"diffusers has no scheduler {name!r}{hint}")
    with quiet():
        return getattr(diffusers, name)


def _sigma_ratios(sde: SDE) -> Array:
    """sigma / alpha of the schedule's levels, ascending."""
    t = np.linspace(max(sde.eps, sde.level_at(LOWEST).t), sde.end, TRAINED)
    ratios: Array = sde.sigma(t) / sde.alpha(t)
    return ratios


def _betas(ratios: Array) -> list[float]:
    """The betas of a variance-preserving chain with these sigma / alpha."""
    alpha_bar = 1 / (1 + ratios**2)
    return [float(b) for b in 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])]


def _level(sde: SDE, ratios: Array, t: float) -> NoiseLevel:
    """The level of a timestep, whole or between two."""
    return sde.level_at(math.exp(np.interp(t, np.arange(TRAINED), np.log(ratios))), clip=True)


def _step(scheduler: Any, eps: Tensor, t: Any, sample: Tensor, generator: Any) -> Tensor:
    drawn = "generator" in inspect.signature(scheduler.step).parameters
    stepped: Tensor = scheduler.step(
        eps, t, sample, **({"generator": generator} if drawn else {})
    ).prev_sample
    return stepped


@functools.cache
def _draws(solver: Diffusers) -> bool:
    """Whether the scheduler's result depends on noise."""
    import torch

    def run(seed: int) -> Tensor:
        x, scheduler = torch.zeros(1, 1, 2, 2), solver._make(PLAIN)
        with seeded(seed, x) as generator, quiet(), refusals(solver.name):
            for t in scheduler.timesteps:
                scheduler.scale_model_input(x, t)
                x = _step(scheduler, torch.zeros_like(x), t, x, generator)
        return x

    return depends_on_seed(run)
