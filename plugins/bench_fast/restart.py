"""Restart sampling (Xu et al. 2023): Heun's method, and noise added back and removed on an interval."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Self

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.heun import Heun

EXPONENT = 7.0
"""rho of the polynomial grid inside the interval."""
PUBLISHED_STEPS = 18
"""The authors' default N; with the default ``points`` and ``repeats`` a run makes 43 calls."""


class Restart(Predictor):
    """Heun's method over ``rho = sigma / alpha``; at the level nearest to t_min, ``repeats`` times,

        y += sqrt(t_max^2 - rho^2) z,

    and Heun's method back from t_max to rho, on a polynomial grid of ``points`` levels, both ends among them.

    With ``y = x / alpha``. N steps make 2 N - 1 network calls, and a repeat ``2 (points - 1)`` more. There is
    no restart where t_max is above the prior's level or below rho, or the nearest level is the first or the
    last of the grid. The error of the way back does not fall with N: more steps need more ``points`` too.

    Source: Xu et al. (2023), Algorithm 1 and table 3; the interval is that of EDM's networks on CIFAR-10.
    """

    name = "restart"
    uses_chain = False

    t_min: float = param(default=0.06, help="sigma / alpha at whose nearest level it restarts", above=0)
    t_max: float = param(default=0.30, help="sigma / alpha to which the noise is raised", above=0)
    points: int = param(default=3, help="levels of the way back, both ends among them", low=2)
    repeats: int = param(default=2, help="restarts", low=0)

    @property
    def linear(self) -> bool:
        return True

    def nfe(self, grid: Sequence[Step]) -> int:
        pairs = itertools.pairwise(grid)
        restarts = sum(self.restarts_at(_ratio(before), step, grid[0]) for before, step in pairs)
        return 2 * len(grid) - 1 + restarts * self.repeats * 2 * (self.points - 1)

    def refine(self, steps: int) -> Self:
        more = max(1.0, steps / PUBLISHED_STEPS)
        return type(self).build(self.values() | {"points": 1 + round(more * (self.points - 1))})

    def step(
        self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: tuple[float, Step] | None
    ) -> Update:
        first = step
        if state is not None:
            before, first = state
            if self.restarts_at(before, step, first):
                x = self.again(x, step, p, noise)
        update = Heun().in_ratio(x, step, step, p)
        return update._replace(state=(_ratio(step), first))

    def restarts_at(self, before: float, step: Step, first: Step) -> bool:
        """Whether the step's level is the grid's nearest to t_min: ``before`` is the last level's ratio."""
        here = _ratio(step)
        after = step.sigma_next / step.alpha_next
        nearest = abs(here - self.t_min) < abs(before - self.t_min) and (
            abs(here - self.t_min) <= abs(after - self.t_min)
        )
        return nearest and not step.last and here < self.t_max <= _ratio(first)

    def again(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Tensor:
        """x at the step's level after the restarts."""
        here = _ratio(step)
        high, low = self.t_max ** (1 / EXPONENT), here ** (1 / EXPONENT)
        ratios = [(high + i / (self.points - 1) * (low - high)) ** EXPONENT for i in range(self.points - 1)]
        levels = [*(p.sde.level_at(ratio) for ratio in ratios), step]
        deviation = levels[0].alpha * math.sqrt(self.t_max**2 - here**2)
        for _ in range(self.repeats):
            x = noise(x).mul_(deviation).add_(x, alpha=levels[0].alpha / step.alpha)
            for start, end in itertools.pairwise(levels):
                move = Step(
                    *(start.t, start.alpha, start.sigma),
                    t_next=end.t,
                    alpha_next=end.alpha,
                    sigma_next=end.sigma,
                )
                x = Heun().in_ratio(x, move, move, p).x
        return x


def _ratio(step: Step) -> float:
    """sigma / alpha."""
    return step.sigma / step.alpha if step.alpha else math.inf
