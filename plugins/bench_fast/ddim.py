"""DDIM (Song, Meng and Ermon 2021)."""

from __future__ import annotations

import math

from bench import LinearPredictor, Step, param


class DDIM(LinearPredictor):
    """``x' = alpha' D + sqrt(sigma'^2 - c^2) eps + c z`` (eq. 12), with D the expected data, eps the noise.

    ``c = eta (sigma' / sigma) sqrt(sigma^2 - (alpha / alpha')^2 sigma'^2)`` (eq. 16), here of the exact
    transition between the levels of any SDE. eta = 0 is exact where D is constant: the probability flow by
    an exponential integrator of first order; eta = 1 is ancestral sampling with the posterior's variance.
    """

    name = "ddim"
    uses_chain = False

    eta: float = param(default=0.0, help="share of ancestral sampling's noise: 0 none", low=0, high=1)

    @property
    def convergence_order(self) -> float:
        return 1.0

    def coefficients(self, step: Step) -> tuple[float, float, float]:
        alpha_ratio = step.alpha / step.alpha_next
        # a difference of squares: rounding can take it below zero
        added_variance = max(step.sigma**2 - (alpha_ratio * step.sigma_next) ** 2, 0.0)
        c = self.eta * step.sigma_next / step.sigma * math.sqrt(added_variance)
        eps_factor = math.sqrt(max(step.sigma_next**2 - c**2, 0.0))
        # D = (x + sigma^2 s) / alpha, eps = -sigma s
        return 1 / alpha_ratio, step.sigma**2 / alpha_ratio - eps_factor * step.sigma, c
