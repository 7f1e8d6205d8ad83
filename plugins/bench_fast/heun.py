"""Heun's method as Karras et al. (2022) sample, in the coordinates y = x / alpha, rho = sigma / alpha."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from bench import SDE, Noise, NoiseLevel, Prediction, Predictor, Step, Tensor, Update, param


class Heun(Predictor):
    """``dy / drho = (y - D) / rho = eps`` by Heun's method, after a raise of the noise (Algorithm 2).

    The noise is raised from rho to ``(1 + gamma) rho``, ``gamma = min(s_churn / N, sqrt(2) - 1)``, where rho
    lies between s_tmin and s_tmax, and never above the prior's; without churn it is Algorithm 1. The last
    step, to rho = 0, is Euler's: N steps make 2 N - 1 calls.
    """

    name = "heun"

    s_churn: float = param(default=0.0, help="noise put in over the whole run; 0: none", low=0)
    s_tmin: float = param(default=0.0, help="sigma / alpha below which no noise is put in", low=0)
    s_tmax: float = param(default=1e6, help="sigma / alpha above which no noise is put in", low=0)
    s_noise: float = param(default=1.0, help="factor of the noise put in", above=0)

    @property
    def convergence_order(self) -> float | None:
        return 2.0 if self.s_churn == 0 else None

    @property
    def linear(self) -> bool:
        return True

    def nfe(self, steps: int) -> int:
        return 2 * steps - 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        at, rho = self.raised(p.sde, step), step.sigma / step.alpha
        if at.sigma / at.alpha > rho:
            spread = at.alpha * math.sqrt((at.sigma / at.alpha) ** 2 - rho**2)
            z = noise(x).mul_(self.s_noise * spread)
            x = z.add_(x, alpha=at.alpha / step.alpha)
        rho, rho_next = at.sigma / at.alpha, step.sigma_next / step.alpha_next

        # Euler's step: y' = y + (rho' - rho) eps, and eps = -sigma s
        eps = p.score(x, at).mul_(-at.sigma)
        ahead = x.mul(step.alpha_next / at.alpha).add_(eps, alpha=step.alpha_next * (rho_next - rho))
        if step.last:
            return Update(ahead, ahead)

        # by the mean of the slopes at both ends
        index = None if step.index is None else step.index - 1
        after = NoiseLevel(step.t_next, step.alpha_next, step.sigma_next, index, step.count)
        eps_next = p.score(ahead, after).mul_(-step.sigma_next)
        half = 0.5 * step.alpha_next * (rho_next - rho)
        x = ahead.add(eps_next, alpha=half).sub_(eps, alpha=half)
        return Update(x, x)

    def raised(self, sde: SDE, step: Step) -> NoiseLevel:
        """The level that the noise is raised to before the step."""
        rho = step.sigma / step.alpha
        gamma = min(self.s_churn / step.steps, math.sqrt(2) - 1)
        if gamma == 0 or not self.s_tmin <= rho <= self.s_tmax:
            return step
        return level_at(sde, (1 + gamma) * rho)


@functools.lru_cache(maxsize=4096)
def level_at(sde: SDE, rho: float) -> NoiseLevel:
    """The level where ``sigma / alpha`` is ``rho``, or T's, if that is below."""
    (t,) = sde.time_at(np.array([math.log(rho)]))
    return sde.at(float(t))
