"""``diffusers:<SchedulerClass>``: a scheduler of the diffusers library, unchanged, as a solver."""

from __future__ import annotations

import functools
import inspect
import math
from typing import Any, ClassVar, Self

import numpy as np

from bench import SDE, BenchError, Noise, NoiseLevel, Prediction, Solver, Tensor, param
from bench.errors import did_you_mean
from bench_adapters.common import entropy, level_at, member_of, need, options, quiet, random, seeded, settings

TRAINED = 1000
LOWEST = 3e-3
"""Of sigma / alpha, what the schedules begin with: their ``alpha_bar``, in float32, is below 1."""
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
FIXED = (
    "trained_betas", "beta_start", "beta_end", "beta_schedule", "rescale_betas_zero_snr",
    "num_train_timesteps", "prediction_type", "use_flow_sigmas", "flow_shift", "use_dynamic_shifting",
    "time_shift_type",
)  # fmt: skip


class Diffusers(Solver):
    """A diffusers scheduler on any SDE, in its own loop: scale_model_input, network, step.

    At the level ``rho = sigma / alpha``, ``z = x / sqrt(alpha^2 + sigma^2)`` is a variance-preserving state
    of ``alpha_bar = 1 / (1 + rho^2)``. The scheduler is given the betas of the 1000 levels at times evenly
    spread from eps (or from rho = 0.003, if later) to T, spaces its steps among them by its own rules, and is
    told ``eps = -sigma s``, the network being asked at the level of its timestep (between two, ln rho is
    linear). It ends on clean data. The spacing ``leading``, some schedulers' default, leaves out the highest
    levels and is inexact for it; ``config=timestep_spacing=trailing`` begins at T (for DDIM take steps that
    divide 1000).
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
        made = _class(name)
        if name in UNFIT or "trained_betas" not in inspect.signature(made.__init__).parameters:
            why = UNFIT.get(name, "it takes no noise schedule")
            raise BenchError(f"diffusers:{name} can't sample these networks: {why}")
        return member_of(cls, name, "scheduler", options(made.__init__, FIXED))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scheduler:
            self.nfe()  # a wrong setting is told at once

    @property
    def couples_batch(self) -> bool:
        return _draws(self)  # from one generator for the batch

    def nfe(self) -> int | None:
        return len(self._made(PLAIN).timesteps)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        ratios = _ratios(sde)
        made = self._made(_betas(ratios))
        level = sde.at(sde.end)
        sample = x * (float(made.init_noise_sigma) / math.hypot(level.alpha, level.sigma))
        with seeded(entropy(noise, x) if _draws(self) else 0, x) as generator, quiet():
            for t in made.timesteps:
                scaled = made.scale_model_input(sample, t)
                level = _level(sde, ratios, float(t))
                state = scaled * math.hypot(level.alpha, level.sigma)
                eps = p.score(state.to(x.dtype), level) * -level.sigma
                sample = _stepped(made, eps, t, sample, generator).to(x.dtype)
        return sample

    def _made(self, betas: list[float]) -> Any:
        """The scheduler on a noise schedule, with its timesteps set."""
        cls = _class(self.scheduler)
        known = inspect.signature(cls.__init__).parameters
        plain = {"prediction_type": "epsilon", "clip_sample": False, "thresholding": False}
        given = {k: v for k, v in plain.items() if k in known}
        given |= settings(self.config, cls.__init__, FIXED, self.name)
        try:
            with quiet():
                made = cls(trained_betas=betas, num_train_timesteps=len(betas), **given)
                made.set_timesteps(self.steps)
        except Exception as error:
            raise BenchError(f"{self.name}: {' '.join(str(error).split())}") from error
        return made


PLAIN = [float(beta) for beta in np.linspace(1e-4, 0.02, TRAINED)]
"""Any schedule: for what does not depend on it."""


def _class(name: str) -> Any:
    diffusers = need("diffusers", "diffusers")
    diffusers.utils.logging.set_verbosity_error()
    known = [n for n in dir(diffusers) if n.endswith("Scheduler")]
    if name not in known:
        near = did_you_mean(f"{name.removesuffix('Scheduler')}Scheduler", known, "its manual")
        raise BenchError(f"diffusers has no scheduler {name!r}{near}")
    with quiet():
        return getattr(diffusers, name)


def _ratios(sde: SDE) -> np.ndarray[Any, np.dtype[np.float64]]:
    (lowest,) = sde.time_at(np.array([math.log(LOWEST)]))
    t = np.linspace(max(sde.eps, lowest), sde.end, TRAINED)
    found: np.ndarray[Any, np.dtype[np.float64]] = sde.sigma(t) / sde.alpha(t)
    return found


def _betas(ratios: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    kept = 1 / (1 + ratios**2)
    return [float(b) for b in 1 - kept / np.concatenate([[1.0], kept[:-1]])]


def _level(sde: SDE, ratios: np.ndarray[Any, np.dtype[np.float64]], t: float) -> NoiseLevel:
    return level_at(sde, math.exp(np.interp(t, np.arange(TRAINED), np.log(ratios))))


def _stepped(made: Any, eps: Tensor, t: Any, sample: Tensor, generator: Any) -> Tensor:
    given = {"generator": generator} if "generator" in inspect.signature(made.step).parameters else {}
    found: Tensor = made.step(eps, t, sample, **given).prev_sample
    return found


@functools.cache
def _draws(solver: Diffusers) -> bool:
    """Whether the scheduler's result depends on noise."""
    import torch

    def run(seed: int) -> Tensor:
        x, made = torch.zeros(1, 1, 2, 2), solver._made(PLAIN)
        with seeded(seed, x) as generator, quiet():
            for t in made.timesteps:
                made.scale_model_input(x, t)
                x = _stepped(made, torch.zeros_like(x), t, x, generator)
        return x

    return random(run)
