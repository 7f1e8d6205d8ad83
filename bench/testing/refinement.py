"""Errors of a sampler at rising numbers of steps, and what they tend to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from bench.diffusion.grid import Grid
from bench.diffusion.levels import Step
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Predictor, Solver, Update
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.testing.context import CheckContext
from bench.testing.laws import SMALL, mixture, normals
from bench.testing.probe import CountedNoise, Part, Tensor, prior, with_steps
from bench.types import Array

FIRST = 40
"""Steps from which on every refinement must lower the error."""
FLOAT_ERROR = 1e-9
"""Relative error below which float64's rounding decides."""

Residual = Callable[[int], list[Tensor]]
"""``residual(steps)``: the relative error of every number that is compared, from each end of a run."""


class UnevenGrid(Grid):
    """Steps h and 2 h in turn, in the seventh root of sigma / alpha, in which the polynomial grid is even."""

    name = "uneven"

    def times(self, sde: SDE, steps: int) -> Array:
        place = np.concatenate([[0.0], np.cumsum(np.resize([1.0, 2.0], steps - 1))])
        low, high = np.exp(np.array(sde.log_sigma_ratio_range) / 7)
        root = high + (low - high) * place / max(place[-1], 1.0)
        t = np.maximum(sde.time_at(7 * np.log(root)), sde.eps)
        t[0] = sde.end
        return t


UNEVEN = UnevenGrid()


class FlowCase:
    """The flow of the mixture from T, and where samplers may end: at eps, at the data expected there, at 0.

    Args:
        sde: The SDE, which ends at eps.
        context: What checks may use.
        batch: Number of samples.
    """

    def __init__(self, sde: SDE, context: CheckContext, batch: int = 4) -> None:
        # within three deviations, so that the clean data is within its range
        z = prior(batch).clamp(-3, 3)
        law, end = context.law(mixture(), sde), sde.at(sde.eps)
        self.start = law.states(law.at(sde.at(sde.end)).quantiles(z)) / sde.prior_std
        at_end = law.at(end).quantiles(z)
        clean = law.coordinates(context.model(mixture(), sde).denoised(law.states(at_end), end))
        self.targets = {"eps": at_end, "data expected at eps": clean, "0": law.quantiles(z)}
        self.law = law

    @property
    def ambiguity(self) -> float:
        """How far the data expected at eps is from the flow at 0: steps do not decide for one of them."""
        return size_of((self.targets["0"] - self.targets["data expected at eps"]) / self.law.spread)

    def residuals(self, x: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Distances of samples from the targets of these names, over the data's deviations."""
        y = self.law.coordinates(x)
        return [(y - self.targets[name]) / self.law.spread for name in names]


def size_of(residual: Tensor) -> float:
    """Root mean square."""
    return float(residual.square().mean().sqrt())


def nearest(residuals: Sequence[Tensor]) -> float:
    """Root mean square of the residual from the end that is nearest."""
    return min(map(size_of, residuals))


def flow_case(sde: SDE, context: CheckContext) -> FlowCase:
    """The flow of the mixture on an SDE, computed once."""
    return context.once(("flow", sde), lambda: FlowCase(sde, context))


def flow_residual(part: Part, sde: SDE, context: CheckContext, grid: str | Grid, *, whole: bool) -> Residual:
    """The residual of the flow: of a predictor at the last level, of a solver and of a whole run at its end.

    A solver's result and a whole run may end at each of the case's targets.
    """
    case = flow_case(sde, context)
    ends = list(case.targets) if whole or isinstance(part, Solver) else ["eps"]

    def residual(steps: int) -> list[Tensor]:
        trial = context.trial(with_steps(part, steps), sde, steps, case.start, grid=grid, whole=whole)
        return case.residuals(trial.x if whole else trial.final_state, ends)

    return residual


class OnFlow:
    """A predictor each of whose steps starts on the exact flow, and the errors of its steps.

    Args:
        part: The predictor.
        flow: The exact state (1, *shape) at each step of the run.
        scale: The data's deviations (*shape), over which errors are taken.
    """

    def __init__(self, part: Predictor, flow: Sequence[Tensor], scale: Tensor) -> None:
        self.part, self.flow, self.scale = part, flow, scale
        self.errors: list[Tensor] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def resolve(self, sde: SDE) -> OnFlow:
        """Resolve the predictor."""
        self.part = self.part.resolve(sde)
        return self

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        """The predictor's step from the exact state; its result is replaced by the exact one."""
        if step.last:
            return Update(x, x)
        update = self.part.step(x, step, p, noise, state)
        exact = self.flow[len(self.errors) + 1]
        self.errors.append((update.x - exact) / self.scale)
        return Update(exact, exact, update.state)


def step_errors(part: Predictor, sde: SDE, steps: int, context: CheckContext) -> Tensor:
    """Relative errors of single steps on the uneven grid, but for the first tenth, of short histories."""
    law, z = context.law(mixture(), sde), prior(1).clamp(-3, 3)
    plan = context.sampler(part, sde, steps, UNEVEN).schedule()
    marginals = law.over(plan)
    flow = marginals.states(marginals.quantiles(z[:, None])).unbind(1)
    on_flow = OnFlow(part, flow, law.spread)
    p = Prediction(context.model(mixture(), sde), sde)
    with torch.no_grad():
        sampler = context.sampler(on_flow, sde, steps, UNEVEN)
        sampler.run(flow[0] / sde.prior_std, p, CountedNoise(), CountedNoise(1))
    return torch.stack(on_flow.errors[steps // 10 :])


def impulse_residual(part: Part, sde: SDE, context: CheckContext, grid: str | Grid) -> Residual:
    """Errors of means and deviations of a linear sampler on normals, without sampling noise.

    Mean and variance follow from the responses to a unit start and to a unit of each draw of noise:
    ``mean = r_0 + r mean_T``, ``variance = r^2 variance_T + sum_i r_i^2``.
    """
    law = context.law(normals(SMALL), sde)
    at_start, at_end = (law.at(sde.at(t)) for t in (sde.end, sde.eps))
    mean_t, variance_t = at_start.mean[0], at_start.variance[0]
    targets = [(at_end.mean[0], at_end.variance[0])]
    if isinstance(part, Solver):
        gain = sde.at(sde.eps).alpha * law.variance[0] / at_end.variance[0]
        targets += [(law.mean[0], gain**2 * at_end.variance[0]), (law.mean[0], law.variance[0])]

    def impulse(count: int, x: Tensor) -> Tensor:
        z = torch.zeros_like(x)
        z[1 + count] = 1
        return z

    def residual(steps: int) -> list[Tensor]:
        variant, zero = with_steps(part, steps), torch.zeros(1, *SMALL, dtype=torch.float64)

        def run(start: Tensor, noise: CountedNoise) -> tuple[Tensor, int]:
            model = context.model(normals(SMALL), sde)
            trial = context.trial(variant, sde, steps, start, noise=noise, grid=grid, model=model)
            return trial.final_state, trial.draws

        _, draws = run(zero, CountedNoise(draw=lambda _, x: torch.zeros_like(x)))
        # row 0 is the response to nothing, row 1 to a unit start, row 1 + i to a unit in the i-th draw
        starts = torch.zeros(2 + draws, *SMALL, dtype=torch.float64)
        starts[1] = 1 / sde.prior_std
        states, _ = run(starts, CountedNoise(draw=impulse))
        response = states[1:] - states[0]
        mean = states[0] + response[0] * mean_t
        variance = response[0].square() * variance_t + response[1:].square().sum(0)
        return [torch.stack([(mean - m) / v.sqrt(), (variance / v).sqrt() - 1]) for m, v in targets]

    return residual


@dataclasses.dataclass(frozen=True)
class Refinement:
    """Errors at rising numbers of steps.

    Args:
        steps: The numbers.
        residuals: The relative error of every number that is compared, at each.
    """

    steps: list[int]
    residuals: list[Tensor]

    @property
    def errors(self) -> list[float]:
        """Root mean squares."""
        return [size_of(residual) for residual in self.residuals]

    @property
    def order(self) -> float | None:
        """The slope of ln error against ln 1 / steps over the two finest runs; None at float error."""
        points = [(n, e) for n, e in zip(self.steps, self.errors, strict=True) if e > FLOAT_ERROR]
        if len(points) < 2:
            return None
        (n, error), (finer, smaller) = points[-2:]
        return math.log(error / smaller) / math.log(finer / n)

    def rise(self, order: float) -> int | None:
        """The first number of steps after `FIRST` whose error is not below the one before, if any.

        Terms of the first and higher orders may cancel at one number of steps, so that the error rises after
        it. Such a rise stays below `asymptote`, which a mistake at that number of steps does not.

        Args:
            order: The order that the sampler declares.
        """
        errors = self.errors
        for i in range(1, len(errors)):
            if self.steps[i - 1] < FIRST or errors[i] < max(errors[i - 1], FLOAT_ERROR):
                continue
            finest = i == len(errors) - 1
            if finest or errors[i] > asymptote(self.steps[-1], errors[-1], self.steps[i], order):
                return self.steps[i]
        return None

    @property
    def remainder(self) -> float:
        """How much more of the error stays than can be of one that falls; 1 is the most that may.

        Of the last runs at n / 2, n and 2 n, ``l = 2 e(2 n) - e(n)`` stays, and ``l_0 = 2 e(n) - e(n / 2)``.
        Errors ``b n^-p`` of any p >= 1 leave ``|l| <= |e(2 n) - e(n)|``; where errors of the first and the
        second order cancel in part, l itself falls, to a quarter of l_0. A constant error does neither. The
        smaller of ``|l| / |e(2 n) - e(n)|`` and ``|l| / (0.5 |l_0|)``; 0 at float error.
        """
        *_, coarsest, coarse, fine = self.residuals
        rest, before = size_of(2 * fine - coarse), size_of(2 * coarse - coarsest)
        allowed = max(size_of(fine - coarse), 0.5 * before)
        return 0.0 if rest < FLOAT_ERROR else rest / allowed if allowed else math.inf


def asymptote(finest: int, error: float, steps: int, order: float) -> float:
    """The error at a number of steps that an order gives back from the finest run: ``e (finest / n)^order``.

    Args:
        finest: Steps of the finest run.
        error: Its error.
        steps: The number of steps n.
        order: The order.
    """
    return float(error * (finest / steps) ** order)


def refined(residual: Residual, steps: Sequence[int]) -> Refinement:
    """Errors at each number of steps that the sampler takes, from the end that they tend to.

    That is the end with the smallest ``(n' e(n') - n e(n)) / (n' - n)`` of the two finest runs, which errors
    of the first order have as their limit. At few steps a run may be nearer to another.

    Raises:
        BenchError: It takes fewer than three of them.
    """
    taken: list[int] = []
    ends: list[list[Tensor]] = []
    refusal = ""
    for n in steps:
        try:
            off = residual(n)
        except BenchError as error:
            refusal = str(error)
            continue
        taken.append(n)
        ends.append(off)
    if len(taken) < 3:
        raise BenchError(f"it takes fewer than three of {', '.join(map(str, steps))} steps: {refusal}")
    *_, n, finer = taken
    *_, coarse, fine = ends
    rest = [size_of(finer * b - n * a) for a, b in zip(coarse, fine, strict=True)]
    best = rest.index(min(rest))
    return Refinement(taken, [residuals[best] for residuals in ends])
