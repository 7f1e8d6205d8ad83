"""The SDE of Retourné's memoir (2023) and of Song's tutorial on score-based models, t in [0, 1]."""

from __future__ import annotations

import math

import numpy as np

from bench import SDE, Array, param


class VEExp(SDE):
    """Variance exploding, by a power: ``dx = sigma^t dw``.

    Marginal: alpha = 1, ``sigma(t)^2 = (sigma^(2t) - 1) / (2 ln sigma)``, which is 0 at t = 0; prior
    N(0, sigma(1)^2). No chain is published: forward moves are Euler-Maruyama's with dt = 1/N, and
    ancestral sampling reverses the exact transition. The memoir gives no eps; 1e-3 is the tutorial's.
    """

    name = "ve_exp"
    data_range = (0.0, 1.0)
    best_snr = 0.16

    base: float = param(default=25.0, help="sigma, the base of the power", above=1, high=1e6)
    eps: float = param(default=1e-3, help="time at which sampling ends", above=0, high=1)

    def drift(self, t: Array) -> Array:
        return np.zeros_like(t)

    def diffusion(self, t: Array) -> Array:
        return self.base**t

    def alpha(self, t: Array) -> Array:
        return np.ones_like(t)

    def sigma(self, t: Array) -> Array:
        log = math.log(self.base)
        return np.sqrt(np.expm1(2 * log * t) / (2 * log))

    @property
    def prior_std(self) -> float:
        return float(self.sigma(np.asarray(self.end)))

    def time_at(self, log_sigma_ratio: Array) -> Array:
        """``t = ln(1 + 2 ln(base) sigma^2) / (2 ln base)``."""
        log = math.log(self.base)
        t = np.logaddexp(0.0, math.log(2 * log) + 2 * log_sigma_ratio) / (2 * log)
        return np.clip(t, 1e-12, self.end)

    def chain(self, t: Array, count: int) -> tuple[Array, Array]:
        """Euler-Maruyama with dt = 1 / count."""
        return np.ones_like(t), self.diffusion(t) / math.sqrt(count)

    def ancestral_chain(self, t: Array, t_next: Array, count: int) -> tuple[Array, Array]:
        """The exact transition between the grid's times."""
        del count
        return self.transition(t, t_next)
