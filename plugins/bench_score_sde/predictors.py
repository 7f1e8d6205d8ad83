"""The paper's predictors: one reverse step from x_i to x_{i-1} (Song et al. 2021, appendix E and F).

Written with the step's ``a`` and ``g`` of the forward chain ``x_i = a x_{i-1} + g z``: the forward move adds
``f(x) = (a - 1) x``, and the reverse step subtracts it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from bench import SDE, LinearPredictor, Noise, Prediction, Step, Tensor, Update, param


class _FirstOrder(LinearPredictor):
    @property
    def convergence_order(self) -> float:
        return 1.0


class EulerMaruyama(_FirstOrder):
    """Euler-Maruyama on the reverse SDE (eq. 6): ``x' = x - (f x - g^2 s) dt + g sqrt(dt) z``."""

    name = "euler_maruyama"
    uses_chain = False

    dt: Literal["grid", "published"] = param(
        default="grid",
        help="step in time: the grid's own spacing, or 1/steps on every grid, as in the published code",
    )

    def coefficients(self, step: Step) -> tuple[float, float, float]:
        dt = step.dt if self.dt == "grid" or step.count is None else 1 / step.count
        return 1 - step.drift * dt, step.diffusion**2 * dt, step.diffusion * math.sqrt(dt)


class ReverseDiffusion(_FirstOrder):
    """Reverse diffusion (eq. 46): ``x' = x - f(x) + g^2 s + g z``, with the forward chain's f and g."""

    name = "reverse_diffusion"

    def coefficients(self, step: Step) -> tuple[float, float, float]:
        return 2 - step.a, step.g**2, step.g


class ProbabilityFlow(_FirstOrder):
    """Probability flow (eq. 47): ``x' = x - f(x) + g^2 s / 2``; no noise."""

    name = "probability_flow"

    def coefficients(self, step: Step) -> tuple[float, float, float]:
        return 2 - step.a, 0.5 * step.g**2, 0.0


class Ancestral(_FirstOrder):
    """Ancestral sampling (eq. 4 for VP, appendix F for VE): ``x' = (x + g^2 s) / a + c z``.

    The mean is the exact E[x_{i-1} | x_i] of a forward step ``x_i = a x_{i-1} + g z``. c is one of
    DDPM's two choices (Ho et al. 2020, section 3.2): forward, c = g; or posterior,
    ``c = g sigma_{i-1} / sigma_i``. Published: forward on VP, posterior on VE. Sub-VP has no
    published form; here a and g are then the exact transition between the grid's times,
    ``a = alpha_i / alpha_{i-1}``, ``g^2 = sigma_i^2 - a^2 sigma_{i-1}^2``, with the posterior's noise.

    ``learned``: the checkpoint's own variance between the two, per pixel, ``c = exp(v ln c_forward +
    (1 - v) ln c_posterior)`` (Nichol & Dhariwal 2021, eq. 15). ``clip``: the mean is taken at the predicted
    clean image x_0 = (x + sigma_i^2 s) / alpha_i, clipped to the range of the data (as Ho et al. sample).
    """

    name = "ancestral"

    variance: Literal["published", "posterior", "forward", "learned"] = param(
        default="published",
        help="noise of the step: posterior, forward, the one published for the SDE, or the checkpoint's own",
    )
    clip: bool = param(default=False, help="clip the predicted clean image to the range of the data")

    def resolve(self, sde: SDE) -> Ancestral:
        variance = sde.ancestral_noise if self.variance == "published" else self.variance
        return dataclasses.replace(self, variance=variance)

    @property
    def needs_variance(self) -> bool:
        return self.variance == "learned"

    @property
    def linear(self) -> bool:
        return not self.clip and not self.needs_variance

    def coefficients(self, step: Step) -> tuple[float, float, float]:
        a, g = step.ancestral_mean, step.ancestral_std
        return 1 / a, g**2 / a, g if self.variance == "forward" else step.posterior

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if self.linear:
            return super().step(x, step, p, noise, state)
        s, v = p.score_and_variance(x, step) if self.needs_variance else (p.score(x, step), None)
        # E[x_{i-1} | x_i, x_0] at the predicted x_0: equal to the linear step unless x_0 is clipped
        a, g, alpha, sigma = (
            step.ancestral_mean,
            step.ancestral_std,
            step.ancestral_alpha,
            step.ancestral_sigma,
        )
        clean = s.mul(sigma**2).add_(x).div_(alpha)
        if self.clip:
            clean = p.clipped(clean)
        variance_ratio = (step.posterior / g) ** 2  # v_{i-1} / v_i
        mean = x.mul(a * variance_ratio).add_(clean, alpha=alpha / a * g**2 / sigma**2)
        if v is None:
            return Update(noise(x).mul_(self.coefficients(step)[2]).add_(mean), mean)
        if step.posterior == 0:
            return Update(mean, mean)
        low, high = math.log(step.posterior), math.log(g)
        return Update(noise(x).mul_(v.mul(high - low).add_(low).exp_()).add_(mean), mean)


class NoPredictor(LinearPredictor):
    """No predictor: the corrector works alone (the paper's C2000)."""

    name = "none"
    uses_chain = False
    idle = True

    def coefficients(self, step: Step) -> tuple[float, float, float]:
        return 1.0, 0.0, 0.0
