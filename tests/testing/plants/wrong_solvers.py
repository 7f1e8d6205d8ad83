"""Wrong solvers."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import torch

from bench import SDE, Noise, Prediction, Solver, Tensor, param
from tests.testing.plants.right_solvers import (
    Adaptive,
    HeunOnItsGrid,
    HeunToZero,
    Points,
    Restart,
    Substeps,
    along,
)


class EndsEarly(HeunOnItsGrid):
    """Integrates to 1.5 eps."""

    name = "wrong_ends_early"

    def ends(self, sde: SDE) -> tuple[float, float]:
        high, _ = super().ends(sde)
        level = sde.at(1.5 * sde.eps)
        return high, level.sigma / level.alpha


class StartsLate(HeunOnItsGrid):
    """Starts at 0.98 T with the prior of T."""

    name = "wrong_starts_late"

    def ends(self, sde: SDE) -> tuple[float, float]:
        level = sde.at(0.98 * sde.end)
        return level.sigma / level.alpha, super().ends(sde)[1]

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        start, end = sde.at(0.98 * sde.end), sde.at(sde.eps)
        return end.alpha * along(x / start.alpha, self.ratios(sde), p)


class OrderTwoSolver(HeunOnItsGrid):
    """Euler's method with a call that it makes no use of; order 2 declared."""

    name = "wrong_order_2_solver"

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        path, y = self.ratios(sde), x / sde.at(sde.end).alpha
        for r, r_next in itertools.pairwise(path):
            level = sde.level_at(r, clip=True)
            e = p.noise(level.alpha * y, level)
            y = y + (r_next - r) * (e + 0 * p.noise(level.alpha * y, level))
        return sde.at(sde.eps).alpha * y


class FlowWithNoise(Solver):
    """Declares that it follows the flow, which is deterministic, and solves the reverse SDE."""

    name = "wrong_flow_with_noise"
    uses_chain = False
    follows_flow = True
    linear = True

    steps: int = param(default=50, help="steps", low=1)

    def nfe(self) -> int:
        return self.steps

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        low, high = sde.log_sigma_ratio_range
        path = [sde.level_at(math.exp(u), clip=True) for u in np.linspace(high, low, self.steps + 1)]
        for level, end in itertools.pairwise(path):
            shrink = end.sigma * level.alpha / (end.alpha * level.sigma)
            clean = p.denoised(x, level)
            x = end.sigma / level.sigma * shrink * x + end.alpha * (1 - shrink**2) * clean
            x = x + end.sigma * math.sqrt(1 - shrink**2) * noise(x)
        return x


class ToleranceIgnored(Adaptive):
    """Fixes its tolerance at 1e-2, whatever it is set to."""

    name = "wrong_tolerance_ignored"

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return Adaptive(tol=1e-2).solve(x, sde, p, noise)


class CleanDeclared(HeunOnItsGrid):
    """Declares to end on clean data, and ends at eps."""

    name = "wrong_clean_declared"
    ends_clean = True


class CleanUndeclared(HeunToZero):
    """Ends on clean data and does not declare it, so that a run denoises it again."""

    name = "wrong_clean_undeclared"
    ends_clean = False


class SecondSubstepForgotten(Substeps):
    """Two substeps are twice the first half: right at one substep, which is its default."""

    name = "wrong_substeps"

    substeps: int = param(default=1, help="steps in each interval", low=1)

    def ratios(self, sde: SDE) -> list[float]:
        first, last = (math.log(end) for end in self.ends(sde))
        last = first + (last - first) * (1 - 0.2 * (self.substeps - 1))
        return [math.exp(u) for u in np.linspace(first, last, self.steps * self.substeps + 1)]


class PointsForSteps(Points):
    """Declares a call for each point, one pair too many."""

    name = "wrong_points_for_steps"

    def nfe(self) -> int:
        return 2 * self.points


class RestartByDifference(Restart):
    """Adds noise of deviation ``high - low`` for ``sqrt(high^2 - low^2)``."""

    name = "wrong_restart_by_difference"

    def raised(self, low: float, high: float) -> float:
        return high - low


class RestartBelow(Restart):
    """Adds the noise, and takes the way back from half of it."""

    name = "wrong_restart_below"

    def raised(self, low: float, high: float) -> float:
        return super().raised(low, high) / 2


class Float32Inside(HeunOnItsGrid):
    """Casts to float32 and back, whose rounding leaves a floor below which no error falls."""

    name = "wrong_float32_solver"

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        y = super().solve(x.to(torch.float32).to(x.dtype), sde, p, noise)
        return y.to(torch.float32).to(x.dtype)


class RefinesNothing(Points):
    """Says that it is refined, and stays as it is."""

    name = "wrong_refines_nothing"

    points: int = param(default=8, help="points of the grid, both ends included", low=2)

    def refine(self, steps: int) -> RefinesNothing:
        return dataclasses.replace(self)
