"""``diffusers:<SchedulerClass>``: a scheduler of the diffusers library, unchanged, as a solver."""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import math
from typing import Any, ClassVar, Literal, Self

import numpy as np

from bench import SDE, Array, BenchError, Noise, NoiseLevel, Prediction, Solver, Tensor, draw_seed, param
from bench_adapters.common import make_member, options, quiet, read_settings, refusals, seeded
from bench_adapters.schedulers import (
    FEWEST,
    LOWEST,
    TRAINED,
    Family,
    NoiseSchedule,
    family_of,
    scheduler_class,
    sigma_ratios,
)
from bench_adapters.trial import DRAWS, FEW, Trial, draws_noise, run_scheduler, try_scheduler

PLAIN = np.sqrt(1 / np.cumprod(1 - np.linspace(1e-4, 0.02, TRAINED)) - 1)
"""sigma / alpha of DDPM's levels, for properties that do not depend on them."""
CLEAN = 0.05
"""The part of the lowest level's noise below which a result is clean: rounding, and what a sum of draws
leaves."""
ENOUGH = 20
"""Steps from which on it does not depend on their number whether noise is drawn, or left at the end."""
TOLD_OFF = 1.02
"""The factor between the level of a timestep and its state's from which a run says so."""
TOLD_OFF_RANDOM = 1.1
"""The same where the state's level is measured by draws."""


class Diffusers(Solver):
    """A diffusers scheduler on any SDE, in its own loop: scale_model_input, network, step.

    Schedulers on a noise schedule work on ``z = x / sqrt(alpha^2 + sigma^2)``, of
    ``alpha_bar = 1 / (1 + rho^2)`` with ``rho = sigma / alpha``. They receive the betas of 1000 levels at
    times evenly spread from eps (or from rho = 0.003, if later) to T, choose their steps among them by their
    own rules, and receive ``E[noise | x]``. EDM schedulers work on ``x / alpha``, between the SDE's rho at T
    and at eps, and receive EDM's F; flow matching ones work on ``x / (alpha + sigma)`` and receive
    ``E[noise - x0 | x]``.

    The network is asked at the level that a state really has, by ``levels=state``: what a run with an ideal
    network on a single data point leaves of the data and of the noise gives it, before the run. The scheduler
    then receives what its own arithmetic turns into ``E[x0 | x]``. ``levels=timestep`` asks the network at
    the level of the scheduler's timestep, as a pipeline of diffusers does. Where the two differ, a run says
    so.

    The spacing ``leading``, the default of some schedulers, omits the highest levels, which makes it inexact;
    ``config=timestep_spacing=trailing`` starts at T (for DDIM take steps that divide 1000).

    Raises:
        BenchError: The library is not installed, or refuses a setting.
    """

    name = "diffusers:<SchedulerClass>"
    libraries = ("diffusers",)
    scheduler: ClassVar[str] = ""

    steps: int = param(default=20, help="the scheduler's num_inference_steps", low=1, high=TRAINED)
    levels: Literal["state", "timestep"] = param(
        default="state", help="where the network is asked: at the state's level, or at its timestep's"
    )
    config: str = param(
        default="", help="more of the scheduler's settings: solver_order=3,use_karras_sigmas=true"
    )

    @classmethod
    @functools.cache
    def member(cls, name: str) -> type[Self]:
        # one that diffusers hides is refused with its reason, not as unknown
        family, scheduler = family_of(name), scheduler_class(name)
        return make_member(cls, name, "scheduler", options(scheduler.__init__, family.fixed))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scheduler:
            self._check_steps()
            self.nfe()  # refuses a wrong setting at once

    def _check_steps(self) -> None:
        settings = self._settings()
        fewest = FEWEST.get((self.scheduler, bool(settings.get("skip_prk_steps"))), 1)
        if self.steps < fewest:
            raise BenchError(f"{self.name} takes {fewest} steps at least, not {self.steps}")

    @property
    def ends_clean(self) -> bool:
        if not self.scheduler:
            return False
        return trial_of(self._shortened(), None).noise_left < CLEAN * float(PLAIN[0])

    @property
    def couples_batch(self) -> bool:
        return self._draws()  # one generator serves the batch

    def starts_in_noise(self, sde: SDE) -> bool:
        del sde
        return family_of(self.scheduler).starts_in_noise

    def nfe(self) -> int | None:
        return len(self._make(PLAIN).timesteps)

    def end_level(self, sde: SDE) -> NoiseLevel:
        trial, lowest = trial_of(self, sde), float(self._ratios(sde)[0])
        # draws measure the level to 2 %: one near the schedule's lowest is that
        near = trial.draws_noise and abs(trial.noise_left / lowest - 1) < TOLD_OFF_RANDOM - 1
        ratio = lowest if near else trial.noise_left
        return sde.level_at(ratio) if ratio > 0 else sde.at(sde.eps)

    def resolve(self, sde: SDE) -> Self:
        """This solver; `BenchError` where its steps on the SDE fail, or where none starts in the noise."""
        if not self.scheduler:
            return self
        trial = self._tried(sde)
        if not all(map(math.isfinite, trial.end)):
            # DPM-Solver++ in 1000 steps: its timesteps are rounded, and one stands there twice
            raise BenchError(
                f"{self.name}: the library's result is not finite in {self.steps} steps: take another number"
            )
        if self.steps == 1 and trial.timesteps[0] < 2 * min(self._ratios(sde)):
            remedy = "take 2 steps or more"
            if "timestep_spacing" in options(scheduler_class(self.scheduler).__init__, ()):
                remedy += ", or config=timestep_spacing=trailing"
            raise BenchError(
                f"{self.name} takes its only step at the level of the least noise, so that its result is the "
                f"noise that it starts from: {remedy}"
            )
        return self

    def notes(self, sde: SDE) -> tuple[str, ...]:
        trial = trial_of(self, sde)
        call, factor = trial.worst_call
        if factor < (TOLD_OFF_RANDOM if trial.draws_noise else TOLD_OFF):
            return ()
        place = f"{self.name}: the timestep of call {call} of {len(trial.states)} stands for a noise level"
        size = f"{factor:.3g} times off" if math.isfinite(factor) else "infinitely far off"
        where = "the state's" if self.levels == "state" else "the timestep's (levels=state for the state's)"
        return (f"{place} {size} from its state's; the network is told {where}",)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        family, trial = family_of(self.scheduler), self._tried(sde)
        scheduler, ratios = self._make(self._ratios(sde)), self._ratios(sde)
        acts = [key for key in ("clip_sample", "thresholding") if scheduler.config.get(key)]
        if acts and not p.model.states_are_items:
            raise BenchError(
                f"{self.name}: {acts[0]} acts on pixels, which the states of this checkpoint are not "
                "(they are DCT coefficients): take a network, or leave it out"
            )
        top = sde.at(sde.end)
        calls = zip(trial.ratios, itertools.starmap(math.hypot, trial.states), strict=True)

        def network(state: Tensor, timestep: float, own: float) -> Tensor:
            measured, size = next(calls)
            ratio = timestep if self.levels == "timestep" else own if trial.draws_noise else measured
            # draws measure a level to 2 %, and the scheduler knows it
            if self.levels == "timestep" or trial.draws_noise:
                size = family.amplitude(ratio)
            level = _level(sde, ratio)
            at = state.to(x.dtype) * (math.hypot(level.alpha, level.sigma) / size)
            return p.denoised(at, level)

        seed = draw_seed(noise, x) if self._draws() else 0
        with seeded(seed, x) as generator, quiet(), refusals(self.name) as callback:
            unit = x / math.hypot(top.alpha, top.sigma)
            sample = run_scheduler(family, scheduler, ratios, unit, callback(network), generator, self.levels)
        if self.ends_clean:
            return sample
        return sample * (self.end_level(sde).alpha / trial_of(self, sde).end[0])

    def _tried(self, sde: SDE) -> Trial:
        """A trial that need not measure levels of a scheduler that draws noise."""
        return trial_of(self, sde, FEW if self._draws() else DRAWS)

    def _ratios(self, sde: SDE) -> Array:
        """sigma / alpha of the levels that the scheduler receives."""
        of_schedule = isinstance(family_of(self.scheduler), NoiseSchedule)
        return sigma_ratios(sde, LOWEST if of_schedule else 0.0)

    def _draws(self) -> bool:
        """Whether the scheduler's result depends on noise."""
        return _depends_on_noise(dataclasses.replace(self._shortened(), levels="state"))

    def _shortened(self) -> Self:
        """This solver in few steps, where noise is drawn, and left at the end, as in many."""
        return self if self.steps <= ENOUGH else dataclasses.replace(self, steps=ENOUGH)

    def _settings(self) -> dict[str, Any]:
        cls, family = scheduler_class(self.scheduler), family_of(self.scheduler)
        return family.settings(cls) | read_settings(self.config, cls.__init__, family.fixed, self.name)

    def _make(self, ratios: Array, **settings: bool) -> Any:
        """The scheduler on noise levels, with its timesteps set."""
        return copy.deepcopy(_blueprint(self, ratios.tobytes(), tuple(settings.items())))


def _level(sde: SDE, ratio: float) -> NoiseLevel:
    """The SDE's level of sigma / alpha, or its nearer end."""
    return sde.level_at(ratio, clip=True) if math.isfinite(ratio) else sde.at(sde.end)


# one that refines its grid takes a second to make, and a plan makes several of each
@functools.lru_cache(maxsize=32)
def _blueprint(solver: Diffusers, ratios: bytes, settings: tuple[tuple[str, bool], ...]) -> Any:
    """The scheduler on noise levels (float64), with its timesteps set; never run itself."""
    family, cls = family_of(solver.scheduler), scheduler_class(solver.scheduler)
    chosen = solver._settings() | dict(settings)
    with quiet(), refusals(solver.name):
        return family.make(cls, np.frombuffer(ratios), solver.steps, chosen)


@functools.lru_cache(maxsize=512)
def trial_of(solver: Diffusers, sde: SDE | None, draws: int = DRAWS) -> Trial:
    """The scheduler with an ideal network, on the SDE or on any levels, without clipping.

    The levels of one that draws noise are measured by so many draws.
    """
    family: Family = family_of(solver.scheduler)
    ratios = PLAIN if sde is None else solver._ratios(sde)
    off = {key: False for key in ("clip_sample", "thresholding") if key in solver._settings()}
    with quiet(), refusals(solver.name):
        return try_scheduler(
            family,
            lambda: solver._make(ratios, **off),
            ratios,
            solver.levels,
            draws=draws if solver._draws() else 0,
        )


@functools.cache
def _depends_on_noise(solver: Diffusers) -> bool:
    """Whether the scheduler's result depends on noise."""
    with quiet(), refusals(solver.name):
        return draws_noise(family_of(solver.scheduler), lambda: solver._make(PLAIN), PLAIN)
