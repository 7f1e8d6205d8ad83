"""Heun's method as Karras et al. (2022) sample, in the coordinates y = x / alpha, rho = sigma / alpha."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bench import SDE, Noise, NoiseLevel, Prediction, Predictor, Step, Tensor, Update, param


class Heun(Predictor):
    """``dy / drho = (y - D) / rho = eps`` by Heun's method, after a raise of the noise (Algorithm 2).

    The noise is raised from rho to ``(1 + gamma) rho``, ``gamma = min(s_churn / N, sqrt(2) - 1)``, where rho
    lies between s_tmin and s_tmax, and never above the prior's; without churn it is Algorithm 1. The last
    step, to rho = 0, is Euler's: N steps make 2 N - 1 calls. ``rho = sigma / alpha``.
    """

    name = "heun"
    uses_chain = False

    s_churn: float = param(default=0.0, help="noise added over the whole run; 0: none", low=0)
    s_tmin: float = param(default=0.0, help="sigma / alpha below which no noise is added", low=0)
    s_tmax: float = param(default=1e6, help="sigma / alpha above which no noise is added", low=0)
    s_noise: float = param(default=1.0, help="factor of the added noise", above=0)

    @property
    def convergence_order(self) -> float | None:
        return 2.0 if self.s_churn == 0 else None

    @property
    def linear(self) -> bool:
        return True

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2 * len(grid) - 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        at, sigma_ratio = self.raised_level(p.sde, step), step.sigma / step.alpha
        if at.sigma / at.alpha > sigma_ratio:
            deviation = at.alpha * math.sqrt((at.sigma / at.alpha) ** 2 - sigma_ratio**2)
            z = noise(x).mul_(self.s_noise * deviation)
            x = z.add_(x, alpha=at.alpha / step.alpha)
        sigma_ratio, sigma_ratio_next = at.sigma / at.alpha, step.sigma_next / step.alpha_next

        # Euler's step: y' = y + (rho' - rho) eps, and eps = -sigma s
        eps = p.score(x, at).mul_(-at.sigma)
        ahead = x.mul(step.alpha_next / at.alpha)
        ahead.add_(eps, alpha=step.alpha_next * (sigma_ratio_next - sigma_ratio))
        if step.last:
            return Update(ahead, ahead)

        # by the mean of the slopes at both ends
        index = None if step.index is None else step.index - 1
        after = NoiseLevel(step.t_next, step.alpha_next, step.sigma_next, index, step.count)
        eps_next = p.score(ahead, after).mul_(-step.sigma_next)
        half = 0.5 * step.alpha_next * (sigma_ratio_next - sigma_ratio)
        x = ahead.add(eps_next, alpha=half).sub_(eps, alpha=half)
        return Update(x, x)

    def raised_level(self, sde: SDE, step: Step) -> NoiseLevel:
        """The level to which the noise is raised before the step."""
        sigma_ratio = step.sigma / step.alpha
        gamma = min(self.s_churn / step.steps, math.sqrt(2) - 1)
        if gamma == 0 or not self.s_tmin <= sigma_ratio <= self.s_tmax:
            return step
        return sde.level_at((1 + gamma) * sigma_ratio)
