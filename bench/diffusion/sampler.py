"""Sampler: the one loop over predictor and corrector, and the call of a solver."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from bench.diffusion.grid import UNIFORM, Grid, label_levels, schedule_of
from bench.diffusion.levels import CLEAN_DATA, NoiseLevel, Step
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import OnCall, Prediction
from bench.diffusion.roles import (
    Corrector,
    Field,
    FlowSolver,
    OnStep,
    PartError,
    Predictor,
    SamplerPart,
    Solver,
    Update,
)
from bench.diffusion.sde import SDE
from bench.errors import BenchError, NotFiniteError

if TYPE_CHECKING:
    from torch import Tensor

    from bench.diffusion.condition import Condition


Order = Literal["corrector_first", "predictor_first"]
Denoise = Literal["mean", "tweedie", "none"]


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A predictor and a corrector on a time grid, or a solver: x(T) -> x(eps). `run` samples one batch.

    Args:
        sde: The run's SDE.
        predictor: Moves from each noise level to the next; None for no predictor.
        corrector: Moves at each noise level; None for no corrector.
        solver: Integrates alone, in place of predictor and corrector; None for no solver.
        steps: Number of steps of the time grid.
        grid: The time grid.
        order: ``corrector_first`` corrects at a level, then predicts the next (the published code);
            ``predictor_first`` predicts, then corrects at the new level (Song et al. 2021, Algorithms 2 and
            3).
        denoise: How a run ends. ``mean``: on the mean of the last update, without a further call, as
            published. ``tweedie``: on ``(x + sigma^2 score) / alpha`` at eps, with one further call.
            ``none``: on the state.
        label_scales: Number of trained noise scales; the network is called at the nearest lower one (Song et
            al. 2021, Table 4). None calls it at each step's own level.
        afs: Whether the predictor's first step has its slope at T from `NegligibleData`: one call less.

    Raises:
        BenchError: ``label_scales`` is given for a solver or off the uniform grid, ``afs`` for a sampler
            without such a step, or a part is not defined on the SDE.
    """

    sde: SDE
    predictor: Predictor | None = None
    corrector: Corrector | None = None
    solver: Solver | None = None
    steps: int = 1000
    grid: Grid = UNIFORM
    order: Order = "corrector_first"
    denoise: Denoise = "mean"
    label_scales: int | None = None
    afs: bool = False

    def __post_init__(self) -> None:
        if self.label_scales is not None and (self.solver is not None or not self.grid.has_chain):
            raise BenchError("label_scales belongs to a predictor or corrector on the uniform grid")
        if self.predictor is not None:
            object.__setattr__(self, "predictor", self.predictor.resolve(self.sde))
        if self.corrector is not None:
            object.__setattr__(self, "corrector", self.corrector.resolve(self.sde))
        if self.solver is not None:
            object.__setattr__(self, "solver", self.solver.resolve(self.solver_sde))
        if self.afs:
            self._check_afs()

    def _check_afs(self) -> None:
        predictor, corrector = self.predictor, self.corrector
        if predictor is None or predictor.idle:
            raise BenchError("--afs is of a predictor's first step: leave it out, or give --predictor")
        if corrector is not None and corrector.calls:
            raise BenchError(
                f"--afs leaves out the call at T, which {corrector.name} needs: give no --corrector"
            )
        if predictor.needs_variance:
            raise BenchError(f"--afs leaves out a call in which {predictor.name} needs the learned variance")
        if self.sde.ends_in_noise:
            raise BenchError(
                f"--afs has no meaning on {self.sde.name}, where alpha = 0 at T: the slope there is of the "
                "data's mean, which the network knows"
            )
        if self.steps < 2:
            raise BenchError("--afs needs --steps 2 or more: a single step would call no network")

    @property
    def starts_by_limit(self) -> bool:
        """Whether the first step is DDIM's limit at alpha = 0, as the sampler's equation has none there."""
        part = self.solver or self.predictor
        idle = isinstance(part, Predictor) and part.idle
        return part is not None and not idle and self.sde.ends_in_noise and not part.starts_in_noise(self.sde)

    @property
    def solver_sde(self) -> SDE:
        """The SDE that a solver integrates: the run's, or the part of it below the first step's limit."""
        return self.sde.cut(self.sde.end - self.sde.eps) if self.starts_by_limit else self.sde

    def schedule(self) -> list[Step]:
        """The run's steps.

        Returns:
            One `Step` per step of the grid, noisiest first.

        Raises:
            BenchError: The grid has no such times on the SDE, or a part reads the published chain, of which
                there is none of this number of steps.
        """
        predictor, corrector = self.predictor, self.corrector
        readers = [part.uses_chain for part in (predictor, corrector) if part is not None]
        return schedule_of(self.sde, self.steps, self.grid, chain=any(readers) or not readers)

    def labels(self) -> list[NoiseLevel] | None:
        """The levels at which the network is called.

        Returns:
            A level for each step, smallest noise first; None where each step's own level is used.

        Raises:
            BenchError: ``label_scales`` exceeds ``steps``.
        """
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
        """Sample one batch.

        Args:
            prior: Standard normal noise (B, ...).
            p: The run's network.
            predictor_noise: Random stream of the predictor or solver.
            corrector_noise: Random stream of the corrector.
            on_step: Called as ``on_step(done, total, calls)`` after every step. For a solver it is called
                before every network call, with ``total`` None.
            watch: Whether to check that every state is finite. The host then waits for the device at each
                step, so that runs do this only to explain a failure.
            condition: Guides every score, and projects the state after every move.
            condition_noise: Random stream of the condition's projection; None uses the predictor's.

        Returns:
            Samples (B, ...), shaped as ``prior``.

        Raises:
            PartError: A part returned a tensor of another shape, precision or device.
            NotFiniteError: With ``watch``: a state is not finite; the error names the first such step.
        """
        x = prior * self.sde.prior_std
        project = None
        if condition is not None:
            p = p.guided(condition)
            project = functools.partial(condition.project, noise=condition_noise or predictor_noise)
        if self.solver is not None:
            observed = p.observed(_report_call(on_step, watch))
            sde = self.solver_sde
            if self.starts_by_limit:
                x = limit_step(x, self.sde.at(self.sde.end), sde.at(sde.end), observed)
            after = self.solver.solve(x, sde, observed, predictor_noise)
            x = _checked_result(self.solver, x, after, watch)
        else:
            x = self._predict_correct(x, p, predictor_noise, corrector_noise, on_step, watch, project)
        if self.denoise == "tweedie":
            last = (
                self.sde.at(self.sde.eps) if self.solver is None else self.solver.end_level(self.solver_sde)
            )
            x = p.denoised(x, last)
            _watch(watch, x, "in the denoising step")
        return x if project is None else project(x, CLEAN_DATA)

    def integrate(
        self,
        field: Field,
        y: Tensor,
        start: float,
        end: float,
        p: Prediction,
        on_step: OnStep | None = None,
        *,
        watch: bool = False,
    ) -> Tensor:
        """``y(end)`` of ``dy/dt = field(t, y)`` by the sampler's `FlowSolver`.

        Args:
            field: The right-hand side, which calls ``p`` once per evaluation.
            y: The state (B, ...) at ``start``.
            start: Time at which the integration starts.
            end: Time at which it ends.
            p: The prediction that counts the network's calls.
            on_step: Called as ``on_step(calls, None, calls)`` before every evaluation of the field.
            watch: Whether to check that every state is finite, as in `run`.

        Returns:
            The state (B, ...) at ``end``.

        Raises:
            PartError: The solver returned a tensor of another shape, precision or device.
            NotFiniteError: With ``watch``: a state is not finite.
        """
        assert isinstance(self.solver, FlowSolver)
        report = _report_call(on_step, watch)

        def observed(t: float, y: Tensor) -> Tensor:
            report(y, p.calls + 1)
            return field(t, y)

        return _checked_result(self.solver, y, self.solver.integrate(observed, y, start, end), watch)

    def _predict_correct(
        self,
        x: Tensor,
        p: Prediction,
        predictor_noise: Noise,
        corrector_noise: Noise,
        on_step: OnStep | None,
        watch: bool,
        project: Callable[[Tensor, NoiseLevel], Tensor] | None,
    ) -> Tensor:
        schedule = self.schedule()
        ends: list[NoiseLevel] = [*schedule[1:], CLEAN_DATA]
        moves = self.corrector.calls if self.corrector is not None else 0
        corrector_first = self.order == "corrector_first"
        prior, mean, state = x, x, None
        first = p.with_analytic_start() if self.afs else p

        def finish(part: SamplerPart, update: Update, level: NoiseLevel, where: str) -> Update:
            """The update of a move to ``level``, checked, with the condition's projection applied."""
            _check_kind(part, prior, update.x, update.mean)
            if project is not None:
                update = update._replace(x=project(update.x, level))
            _watch(watch, update.x, where)
            return update

        for done, step in enumerate(schedule, 1):
            if corrector_first and self.corrector is not None:
                for move in range(moves):
                    update = self.corrector.step(x, step, p, corrector_noise)
                    where = f"in corrector move {move + 1} at step {done} of {len(schedule)}"
                    x, mean, _ = finish(self.corrector, update, step, where)
            if self.predictor is not None and not self.predictor.idle:
                if step.alpha == 0 and self.starts_by_limit:
                    x = limit_step(x, step, ends[done - 1], p)
                    update = Update(x, x)
                else:
                    update = self.predictor.step(x, step, first if done == 1 else p, predictor_noise, state)
                where = f"in the predictor at step {done} of {len(schedule)}"
                x, mean, state = finish(self.predictor, update, ends[done - 1], where)
            if not corrector_first and self.corrector is not None and done < len(schedule):
                for move in range(moves):
                    update = self.corrector.step(x, schedule[done], p, corrector_noise)
                    where = f"in corrector move {move + 1} after step {done} of {len(schedule)}"
                    x, mean, _ = finish(self.corrector, update, schedule[done], where)
            if on_step is not None:
                on_step(done, len(schedule), p.calls)
        return mean if self.denoise == "mean" else x


def limit_step(x: Tensor, level: NoiseLevel, end: NoiseLevel, p: Prediction) -> Tensor:
    """DDIM's step in the limit alpha -> 0, ``alpha' E[x0 | x] + sigma' E[noise | x]``, and there the noise is
    ``x / sigma``; one network call.

    Source: Song, Meng and Ermon (2021), eq. 12 with eta = 0.
    """
    return x.mul(end.sigma / level.sigma).add_(p.denoised(x, level), alpha=end.alpha)


def _report_call(on_step: OnStep | None, watch: bool) -> OnCall:
    """A function to call before a solver's network call: it checks the state and reports the call."""

    def report(x: Tensor, calls: int) -> None:
        _watch(watch, x, f"before network call {calls} of the solver")
        if on_step is not None:
            on_step(calls, None, calls)

    return report


def _checked_result(solver: Solver, before: Tensor, after: Tensor, watch: bool) -> Tensor:
    _check_kind(solver, before, after)
    _watch(watch, after, "at the solver's end")
    return after


def _check_kind(part: SamplerPart, before: Tensor, *after: Tensor) -> None:
    """Refuse a state of another shape, precision or device: torch would broadcast or promote it silently."""
    for x in after:
        if x.shape != before.shape or x.dtype != before.dtype or x.device != before.device:
            raise PartError(part, f"received {_kind(before)} and returned {_kind(x)}")


def _kind(x: Tensor) -> str:
    return f"{tuple(x.shape)} {x.dtype} on {x.device}"


def _watch(watch: bool, x: Tensor, where: str) -> None:
    if watch and not bool(x.isfinite().all()):
        raise NotFiniteError(where)


def default_denoise(solver: Solver | None) -> Denoise:
    """How a run ends by default: on the last step's mean, or for a solver by Tweedie's formula if needed."""
    if solver is None:
        return "mean"
    return "none" if solver.ends_clean else "tweedie"


def check_denoise(solver: Solver | None, denoise: Denoise) -> None:
    """Refuse ``mean`` for any solver, and all but ``none`` for a solver that ends on clean data."""
    if solver is not None and solver.ends_clean and denoise != "none":
        raise BenchError(f"{solver.name} ends on clean data by itself: it takes --denoise none alone")
    if solver is not None and denoise == "mean":
        raise BenchError("--denoise mean needs a predictor or corrector; a solver takes tweedie or none")
