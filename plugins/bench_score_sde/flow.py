"""The SDEs of flow matching, whose prior is pure noise: alpha(1) = 0."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np

from bench import SDE, Array, param


class _Interpolation(SDE):
    """Common to both: the range, and that the flow is integrated over t."""

    name = "interpolation"
    best_snr = 0.01
    slope_variable: ClassVar[Literal["sigma_ratio", "t"]] = "t"

    eps: float = param(default=1e-3, help="time at which sampling ends", above=0, high=1)


class Flow(_Interpolation):
    """Flow matching's straight lines: ``x(t) = (1 - t) x(0) + t noise``, t in [0, 1]; prior N(0, 1), exact.

    alpha = 1 - t, sigma = t, and so ``f = -1 / (1 - t)``, ``g^2 = 2 t / (1 - t)``, both infinite at t = 1;
    the probability flow ``dx/dt = E[noise - x(0) | x]`` is not. No chain is published: forward moves are the
    exact transition. On the uniform grid ``probability_flow``, of such moves, is off near t = 1 however many
    steps it takes: it needs the grid ``logsnr``.

    Source: Lipman et al. (2023), Liu et al. (2023). Their time often runs the other way: there t = 1 is data.
    """

    name = "flow"

    def alpha(self, t: Array) -> Array:
        return 1.0 - t

    def sigma(self, t: Array) -> Array:
        return 1.0 * t

    def alpha_slope(self, t: Array) -> Array:
        return np.full_like(t, -1.0)

    def sigma_slope(self, t: Array) -> Array:
        return np.ones_like(t)

    def drift(self, t: Array) -> Array:
        with np.errstate(divide="ignore"):
            f: Array = -1 / self.alpha(t)
        return f

    def diffusion(self, t: Array) -> Array:
        with np.errstate(divide="ignore"):
            g: Array = np.sqrt(2 * t / self.alpha(t))
        return g

    def time_at(self, log_sigma_ratio: Array) -> Array:
        """``t = r / (1 + r)`` with r = sigma / alpha."""
        return np.minimum(1 / (1 + np.exp(-np.asarray(log_sigma_ratio))), self.end)


class FlowCosine(_Interpolation):
    """Variance preserving to its very end: ``x(t) = cos(pi t / 2) x(0) + sin(pi t / 2) noise``, t in [0, 1].

    ``f = -(pi / 2) tan(pi t / 2)``, ``g^2 = pi tan(pi t / 2)``, both infinite at t = 1; the prior N(0, 1) is
    exact. No chain is published: forward moves are the exact transition.

    Source: Albergo and Vanden-Eijnden (2023), the trigonometric interpolant; Salimans and Ho (2022).
    """

    name = "flow_cosine"

    def alpha(self, t: Array) -> Array:
        # zero at t = 1 to the last digit
        return np.sin(math.pi / 2 * (1.0 - t))

    def sigma(self, t: Array) -> Array:
        return np.sin(math.pi / 2 * t)

    def alpha_slope(self, t: Array) -> Array:
        return -math.pi / 2 * self.sigma(t)

    def sigma_slope(self, t: Array) -> Array:
        return math.pi / 2 * self.alpha(t)

    def drift(self, t: Array) -> Array:
        with np.errstate(divide="ignore"):
            f: Array = -math.pi / 2 * self.sigma(t) / self.alpha(t)
        return f

    def diffusion(self, t: Array) -> Array:
        with np.errstate(divide="ignore"):
            g: Array = np.sqrt(math.pi * self.sigma(t) / self.alpha(t))
        return g

    def time_at(self, log_sigma_ratio: Array) -> Array:
        """``t = (2 / pi) atan(r)`` with r = sigma / alpha."""
        return np.minimum(2 / math.pi * np.arctan(np.exp(log_sigma_ratio)), self.end)
