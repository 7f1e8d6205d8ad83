"""Heun's method, in the coordinates y = x / alpha, rho = sigma / alpha of Karras et al. (2022), or in x."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from bench import SDE, Noise, NoiseLevel, Prediction, Predictor, Step, Tensor, Update, param


class Heun(Predictor):
    """``dy / drho = (y - D) / rho = eps`` by Heun's method, after a raise of the noise (Algorithm 2).

    The noise is raised from rho to ``(1 + gamma) rho``, ``gamma = min(s_churn / N, sqrt(2) - 1)``, where rho
    lies between s_tmin and s_tmax, and never above the prior's; without churn it is Algorithm 1. The last
    step, to rho = 0, is Euler's: N steps make 2 N - 1 calls. ``rho = sigma / alpha``.

    In the variable t, which is flow matching's, ``dx/dt = v`` by Heun's method, with the velocity v of the
    probability flow; the last step is the expected data. It starts at alpha = 0, where rho is infinite.
    """

    name = "heun"
    uses_chain = False

    s_churn: float = param(default=0.0, help="noise added over the whole run; 0: none", low=0)
    s_tmin: float = param(default=0.0, help="sigma / alpha below which no noise is added", low=0)
    s_tmax: float = param(default=1e6, help="sigma / alpha above which no noise is added", low=0)
    s_noise: float = param(default=1.0, help="factor of the added noise", above=0)
    variable: Literal["published", "sigma_ratio", "t"] = param(
        default="published",
        help="what is integrated over: sigma / alpha, t, or published: t on flow and flow_cosine, else "
        "sigma / alpha",
    )

    @property
    def convergence_order(self) -> float | None:
        return 2.0 if self.s_churn == 0 else None

    @property
    def linear(self) -> bool:
        return True

    def over_t(self, sde: SDE) -> bool:
        """Whether it integrates over t."""
        return (sde.slope_variable if self.variable == "published" else self.variable) == "t"

    def starts_in_noise(self, sde: SDE) -> bool:
        return self.over_t(sde)

    def nfe(self, grid: Sequence[Step]) -> int:
        return 2 * len(grid) - 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        at = self.raised_level(p.sde, step)
        if at is not step:
            sigma_ratio = step.sigma / step.alpha
            deviation = at.alpha * math.sqrt((at.sigma / at.alpha) ** 2 - sigma_ratio**2)
            z = noise(x).mul_(self.s_noise * deviation)
            x = z.add_(x, alpha=at.alpha / step.alpha)
        return self.in_t(x, at, step, p) if self.over_t(p.sde) else self.in_ratio(x, at, step, p)

    def in_ratio(self, x: Tensor, at: NoiseLevel, step: Step, p: Prediction) -> Update:
        """From the raised level to the step's next one, over rho."""
        sigma_ratio, sigma_ratio_next = at.sigma / at.alpha, step.sigma_next / step.alpha_next

        # Euler's step: y' = y + (rho' - rho) eps
        eps = p.noise(x, at)
        ahead = x.mul(step.alpha_next / at.alpha)
        ahead.add_(eps, alpha=step.alpha_next * (sigma_ratio_next - sigma_ratio))
        if step.last:
            return Update(ahead, ahead)

        # by the mean of the slopes at both ends
        eps_next = p.noise(ahead, next_level(step))
        half = 0.5 * step.alpha_next * (sigma_ratio_next - sigma_ratio)
        x = ahead.add(eps_next, alpha=half).sub_(eps, alpha=half)
        return Update(x, x)

    def in_t(self, x: Tensor, at: NoiseLevel, step: Step, p: Prediction) -> Update:
        """From the raised level to the step's next one, over t."""
        if step.last:
            clean = p.denoised(x, at)
            return Update(clean, clean)
        v = p.velocity(x, at)
        h = step.t_next - at.t
        v_next = p.velocity(x.add(v, alpha=h), next_level(step))
        x = x.add(v.add(v_next), alpha=h / 2)
        return Update(x, x)

    def raised_level(self, sde: SDE, step: Step) -> NoiseLevel:
        """The level to which the noise is raised before the step."""
        gamma = min(self.s_churn / step.steps, math.sqrt(2) - 1)
        if gamma == 0 or step.alpha == 0:
            return step
        sigma_ratio = step.sigma / step.alpha
        if not self.s_tmin <= sigma_ratio <= self.s_tmax:
            return step
        raised = sde.level_at((1 + gamma) * sigma_ratio)
        return raised if raised.sigma / raised.alpha > sigma_ratio else step


def next_level(step: Step) -> NoiseLevel:
    """The level where a step leads."""
    index = None if step.index is None else step.index - 1
    return NoiseLevel(step.t_next, step.alpha_next, step.sigma_next, index, step.count)
