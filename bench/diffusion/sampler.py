"""The one loop that runs predictors and correctors, and solvers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from bench.diffusion.grid import GridKind, label_levels, scales
from bench.diffusion.levels import CLEAN, NoiseLevel, Step
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Corrector, OnStep, PartError, Predictor, SamplerPart, Solver, Update
from bench.diffusion.sde import SDE
from bench.errors import BenchError, NotFiniteError

if TYPE_CHECKING:
    from torch import Tensor

    from bench.diffusion.condition import Condition


Order = Literal["corrector_first", "predictor_first"]
Denoise = Literal["mean", "tweedie", "none"]


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A predictor and a corrector on a time grid, or a solver; see `run`.

    ``order``: ``corrector_first`` corrects at a scale, then predicts to the next (the published
    code); ``predictor_first`` predicts, then corrects at the scale it reached (Algorithms 2 and 3).
    ``denoise``: ``mean`` ends on the last update's mean (no extra call, as published); ``tweedie``
    adds one call, ``(x + sigma^2 score) / alpha`` at eps; ``none`` keeps the noise. ``label_scales``: the
    network is asked at the nearest lower of so many trained scales; None: at each scale's own level.
    """

    sde: SDE
    predictor: Predictor | None = None
    corrector: Corrector | None = None
    solver: Solver | None = None
    steps: int = 1000
    grid: GridKind = "uniform"
    rho: float = 7.0
    order: Order = "corrector_first"
    denoise: Denoise = "mean"
    label_scales: int | None = None

    def __post_init__(self) -> None:
        if self.label_scales is not None and (self.solver is not None or self.grid != "uniform"):
            raise BenchError("label_scales belongs to a predictor or corrector on the uniform grid")
        if self.predictor is not None:
            object.__setattr__(self, "predictor", self.predictor.resolve(self.sde))
        if self.corrector is not None:
            object.__setattr__(self, "corrector", self.corrector.resolve(self.sde))

    def scales(self) -> list[Step]:
        """The run's scales, noisiest first."""
        return scales(self.sde, self.steps, self.grid, self.rho)

    def labels(self) -> list[NoiseLevel] | None:
        """The level that the network is asked at on each scale, smallest noise first; None: its own."""
        return None if self.label_scales is None else label_levels(self.sde, self.steps, self.label_scales)

    def run(
        self,
        prior: Tensor,
        p: Prediction,
        predictor_noise: Noise,
        corrector_noise: Noise,
        on_step: OnStep | None = None,
        *,
        watch: bool = False,
        condition: Condition | None = None,
        condition_noise: Noise | None = None,
    ) -> Tensor:
        """Standard normal ``prior`` (B, ...) -> samples, shaped alike.

        ``on_step(done, total, calls)`` is told of every scale (of a solver: every call, total None). With
        ``watch`` every step is checked and `NotFiniteError` names the first that went wrong; this
        stops the device at each step, so runs do it only to explain a failure. A ``condition`` guides every
        score and is put into the state after every step, by ``condition_noise``.
        """
        x = prior * self.sde.prior_std
        p.guidance = None if condition is None else condition.guide
        put_in = None
        if condition is not None:
            put_in = functools.partial(condition.project, noise=condition_noise or predictor_noise)
        if (solver := self.solver) is not None:
            x = self.solved(lambda x: solver.solve(x, self.sde, p, predictor_noise), x, p, on_step, watch)
        else:
            x = self._predict_correct(x, p, predictor_noise, corrector_noise, on_step, watch, put_in)
        if self.denoise == "tweedie":
            level = self.sde.at(self.sde.eps)
            x = (x + level.sigma**2 * p.score(x, level)) / level.alpha
            _watch(watch, x, "in the denoising step")
        return x if put_in is None else put_in(x, CLEAN)

    def solved(
        self, by: Callable[..., Tensor], x: Tensor, p: Prediction, told: OnStep | None, watch: bool
    ) -> Tensor:
        """``by(x)`` of the solver, its calls ``told`` and watched as `run` says."""
        assert self.solver is not None

        def called(x: Tensor, calls: int) -> None:
            _watch(watch, x, f"before network call {calls} of the solver")
            if told is not None:
                told(calls, None, calls)

        p.on_call = called
        left = by(x)
        p.on_call = None
        _same_kind(self.solver, x, left)
        _watch(watch, left, "at the solver's end")
        return left

    def _predict_correct(
        self,
        x: Tensor,
        p: Prediction,
        predictor_noise: Noise,
        corrector_noise: Noise,
        on_step: OnStep | None,
        watch: bool,
        put_in: Callable[[Tensor, NoiseLevel], Tensor] | None,
    ) -> Tensor:
        plan = self.scales()
        ends: list[NoiseLevel] = [*plan[1:], CLEAN]
        moves = self.corrector.calls if self.corrector is not None else 0
        before = self.order == "corrector_first"
        given, mean, state = x, x, None

        def moved(part: SamplerPart, update: Update, level: NoiseLevel, where: str) -> Update:
            """A step's update, checked, with the condition put in at the level that it led to."""
            _same_kind(part, given, update.x, update.mean)
            if put_in is not None:
                update = update._replace(x=put_in(update.x, level))
            _watch(watch, update.x, where)
            return update

        for done, step in enumerate(plan, 1):
            if before and self.corrector is not None:
                for move in range(moves):
                    update = self.corrector.step(x, step, p, corrector_noise)
                    where = f"in corrector move {move + 1} at step {done} of {len(plan)}"
                    x, mean, _ = moved(self.corrector, update, step, where)
            if self.predictor is not None and not self.predictor.idle:
                update = self.predictor.step(x, step, p, predictor_noise, state)
                where = f"in the predictor at step {done} of {len(plan)}"
                x, mean, state = moved(self.predictor, update, ends[done - 1], where)
            if not before and self.corrector is not None and done < len(plan):
                for move in range(moves):
                    update = self.corrector.step(x, plan[done], p, corrector_noise)
                    where = f"in corrector move {move + 1} after step {done} of {len(plan)}"
                    x, mean, _ = moved(self.corrector, update, plan[done], where)
            if on_step is not None:
                on_step(done, len(plan), p.calls)
        return mean if self.denoise == "mean" else x


def _same_kind(part: SamplerPart, given: Tensor, *left: Tensor) -> None:
    """Refuse a state of another shape, precision or device: it would be broadcast or promoted unseen."""
    for x in left:
        if x.shape != given.shape or x.dtype != given.dtype or x.device != given.device:
            raise PartError(part, f"was given {_kind(given)} and left {_kind(x)}")


def _kind(x: Tensor) -> str:
    return f"{tuple(x.shape)} {x.dtype} on {x.device}"


def _watch(watch: bool, x: Tensor, where: str) -> None:
    if watch and not bool(x.isfinite().all()):
        raise NotFiniteError(where)


def default_denoise(solver: Solver | None) -> Denoise:
    """What ends a run unless told: the last step's mean; of a solver, a call at eps where it needs it."""
    if solver is None:
        return "mean"
    return "none" if solver.ends_clean else "tweedie"


def check_denoise(solver: Solver | None, denoise: Denoise) -> None:
    """Refuse ``mean`` where there is no step to take the mean of, ``tweedie`` where data is clean."""
    if solver is not None and solver.ends_clean and denoise != "none":
        raise BenchError(f"{solver.name} ends on clean data by itself: it takes --denoise none alone")
    if solver is not None and denoise == "mean":
        raise BenchError("--denoise mean needs a predictor or corrector; a solver takes tweedie or none")
