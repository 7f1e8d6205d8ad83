"""Right solvers, and an SDE without a published chain."""

from __future__ import annotations

import dataclasses
import itertools
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from bench import SDE, Array, BenchError, Field, FlowSolver, Noise, Prediction, Solver, Tensor, param
from tests.testing.plants.levels import slope


class HeunSolver(Solver):
    """Heun's method in r = sigma / alpha, from T to eps."""

    name = "right_heun_solver"
    uses_chain = False
    follows_flow = True
    linear = True
    convergence_order: ClassVar[float | None] = 2.0

    def ends(self, sde: SDE) -> tuple[float, float]:
        """r at the start and at the end."""
        low, high = (math.exp(end) for end in sde.log_sigma_ratio_range)
        return high, low

    @abstractmethod
    def ratios(self, sde: SDE) -> list[float]:
        """Values of r, from start to end."""

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        start, end = sde.at(sde.end), sde.at(sde.eps)
        return end.alpha * along(x / start.alpha, self.ratios(sde), p)


class HeunOnItsGrid(HeunSolver):
    """On EDM's own grid of rho = 7, even in the seventh root of r."""

    name = "right_heun_on_its_grid"

    steps: int = param(default=40, help="steps; each calls the network twice", low=1)

    def nfe(self) -> int:
        return 2 * self.steps

    def ratios(self, sde: SDE) -> list[float]:
        return seventh_roots(*self.ends(sde), self.steps + 1)


def seventh_roots(first: float, last: float, count: int) -> list[float]:
    """Numbers even in their seventh root (Karras et al. 2022, eq. 5)."""
    return [float(r) for r in np.linspace(first ** (1 / 7), last ** (1 / 7), count) ** 7]


def along(y: Tensor, path: Sequence[float], p: Prediction) -> Tensor:
    """Heun's steps of ``dy/dr = e`` along values of r."""
    for r, r_next in itertools.pairwise(path):
        e = slope(y, p.sde.level_at(r, clip=True), p)
        ahead = slope(y + (r_next - r) * e, p.sde.level_at(r_next, clip=True), p)
        y = y + (r_next - r) / 2 * (e + ahead)
    return y


class HeunToZero(HeunOnItsGrid):
    """The same to eps, and one step of Euler's from there to r = 0: clean data."""

    name = "right_heun_to_zero"
    ends_clean = True

    def nfe(self) -> int:
        return 2 * self.steps + 1

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return p.denoised(super().solve(x, sde, p, noise), sde.at(sde.eps))


class Thousand(HeunOnItsGrid):
    """As one who has a table of 1000 levels: the number of steps divides 1000."""

    name = "right_thousand"

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        if 1000 % self.steps:
            raise BenchError(f"{self.name}.steps must divide 1000, and {self.steps} does not")
        return super().solve(x, sde, p, noise)


class Substeps(HeunSolver):
    """Intervals even in ln r, two or more, each in a number of smaller ones: two knobs."""

    name = "right_substeps"

    steps: int = param(default=20, help="intervals", low=2)
    substeps: int = param(default=2, help="steps in each interval", low=1)

    def nfe(self) -> int:
        return 2 * self.steps * self.substeps

    def refine(self, steps: int) -> Substeps:
        return dataclasses.replace(self, steps=max(steps, 2))

    def ratios(self, sde: SDE) -> list[float]:
        first, last = (math.log(end) for end in self.ends(sde))
        return [math.exp(u) for u in np.linspace(first, last, self.steps * self.substeps + 1)]


class Points(HeunSolver):
    """Its one knob has another name: points of the grid, one more than its steps."""

    name = "right_points"

    points: int = param(default=41, help="points of the grid, both ends included", low=2)

    def nfe(self) -> int:
        return 2 * (self.points - 1)

    def refine(self, steps: int) -> Points:
        return dataclasses.replace(self, points=steps + 1)

    def ratios(self, sde: SDE) -> list[float]:
        return seventh_roots(*self.ends(sde), self.points)


class BothWays(FlowSolver):
    """Heun's method over ln t, from T to eps and back, for fields of any shape."""

    name = "right_both_ways"
    uses_chain = False
    linear = True
    convergence_order = 2.0

    steps: int = param(default=60, help="steps; each evaluates the field twice", low=1)

    def nfe(self) -> int:
        return 2 * self.steps

    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        times = [start, *np.geomspace(start, end, self.steps + 1)[1:-1].tolist(), end]
        for t, t_next in itertools.pairwise(times):
            slope = field(t, y)
            y = y + (t_next - t) / 2 * (slope + field(t_next, y + (t_next - t) * slope))
        return y


class Adaptive(Solver):
    """Bogacki and Shampine's pair of orders 3 and 2 in u = ln r, its steps by a PI controller."""

    name = "right_adaptive"
    uses_chain = False
    follows_flow = True
    couples_batch = True

    tol: float = param(default=1e-4, help="bound of a step's estimated error", above=0, flag="tol")

    def longest(self) -> float:
        """Bound of a step in u."""
        return 1.0

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        end, u = sde.log_sigma_ratio_range
        y, h, before = x / sde.at(sde.end).alpha, min(0.05, self.longest()), 1.0

        def f(u: float, y: Tensor) -> Tensor:
            return math.exp(u) * slope(y, sde.level_at(math.exp(u), clip=True), p)

        k1 = f(u, y)
        while u > end:
            h = min(h, u - end)
            k2 = f(u - h / 2, y - h / 2 * k1)
            k3 = f(u - 3 * h / 4, y - 3 * h / 4 * k2)
            ahead = y - h * (2 * k1 + 3 * k2 + 4 * k3) / 9
            k4 = f(u - h, ahead)
            off = h * (5 * k1 / 72 - k2 / 12 - k3 / 9 + k4 / 8)
            error = float((off / (self.tol * (1 + ahead.abs()))).square().mean().sqrt())
            if error <= 1:
                # the last step ends at eps to the last digit
                u, y, k1 = end if h == u - end else u - h, ahead, k4
                factor = 0.9 * max(error, 1e-8) ** (-0.7 / 3) * before ** (0.4 / 3)
                before = max(error, 1e-8)
            else:
                factor = 0.9 * error ** (-1 / 3)
            h = min(h * min(max(factor, 0.2), 5.0), self.longest())
        return sde.at(sde.eps).alpha * y


class BoundedAdaptive(Adaptive):
    """The same with a bound of the step: a tolerance and a longest step."""

    name = "right_bounded_adaptive"

    max_step: float = param(default=0.5, help="longest step in ln(sigma / alpha)", above=0)

    def longest(self) -> float:
        return self.max_step


class Restart(HeunSolver):
    """Restart (Xu et al. 2023): at r = 0.1 noise is added up to r = 1 and the way back taken again, twice."""

    name = "right_restart"
    follows_flow = False
    convergence_order = None
    rounds: ClassVar[int] = 2

    steps: int = param(default=40, help="steps from T to 1, from 1 to 0.1, and from 0.1 to eps", low=1)

    def nfe(self) -> int:
        return 2 * self.steps * (3 + self.rounds)

    def raised(self, low: float, high: float) -> float:
        """Standard deviation of the noise from r = low to high."""
        return math.sqrt(high**2 - low**2)

    def ratios(self, sde: SDE) -> list[float]:
        """Three parts of as many steps: before, within and after the way that is taken again."""
        first, last = self.ends(sde)
        high = min(1.0, first)
        ends = [first, high, max(0.1 * high, last), last]
        parts = [np.geomspace(a, b, self.steps + 1).tolist() for a, b in itertools.pairwise(ends)]
        return [*parts[0], *parts[1][1:], *parts[2][1:]]

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        path, n = self.ratios(sde), self.steps
        y = along(x / sde.at(sde.end).alpha, path[: 2 * n + 1], p)
        for _ in range(self.rounds):
            y = y + self.raised(path[2 * n], path[n]) * noise(y)
            y = along(y, path[n : 2 * n + 1], p)
        return sde.at(sde.eps).alpha * along(y, path[2 * n :], p)


class Exploding(SDE):
    """``dx = sqrt(2 t) dw``: alpha = 1, sigma = t, from t = 1 (Karras et al. 2022); no chain is published."""

    name = "right_exploding"
    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    eps: float = param(default=1e-3, help="time at which sampling ends", above=0)
    scale: float = param(default=50.0, help="sigma at t = 1", above=0)

    @property
    def prior_std(self) -> float:
        return self.scale

    def drift(self, t: Array) -> Array:
        return np.zeros_like(t)

    def diffusion(self, t: Array) -> Array:
        return self.scale * np.sqrt(2 * t)

    def alpha(self, t: Array) -> Array:
        return np.ones_like(t)

    def sigma(self, t: Array) -> Array:
        return self.scale * t

    def time_at(self, log_sigma_ratio: Array) -> Array:
        return np.clip(np.exp(log_sigma_ratio) / self.scale, 1e-12, self.end)
