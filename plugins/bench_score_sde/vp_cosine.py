"""The cosine schedule of improved DDPM (Nichol & Dhariwal 2021, eq. 17)."""

from __future__ import annotations

import functools
import math
from typing import ClassVar, Literal

import numpy as np

from bench import SDE, Array, BenchError, param


class VPCosine(SDE):
    """Variance preserving with ``alpha(t)^2 = cos^2((t + s) / (1 + s) pi / 2) / cos^2(s / (1 + s) pi / 2)``.

    A chain of T noise ``scales``: scale i lies at t = (i + 1) / T, and its ``beta_i = 1 - alpha_i^2 /
    alpha_{i-1}^2`` is at most ``1 - smallest_ratio``, a bound that only the last one meets. Up to the last
    scale but one alpha is the formula's at every t, so that the probability flow is smooth; from there to
    t = 1, where the formula ends at 0, ln alpha is linear in t. On the uniform grid of n <= T steps the times
    are those of Nichol & Dhariwal's strided subsequence of the T scales, and the chain is the transition
    between them.

    The last scale takes sigma / alpha from 2.6e3 to 8e4 (T = 4000). On the uniform grid of a hundred steps
    and fewer, explicit steps across it diverge: there ``heun`` and ``euler_maruyama`` need the grid
    ``logsnr`` or ``polynomial``, as ``bench run`` notes.
    """

    name = "vp_cosine"
    best_snr = 0.01
    ancestral_noise: ClassVar[Literal["posterior", "forward"]] = "posterior"
    # the last thousandth of t holds over a quarter of the run in ln(sigma / alpha)
    multistep_variable: ClassVar[Literal["t", "log_sigma_ratio"]] = "log_sigma_ratio"
    smallest_ratio: ClassVar[float] = 1e-3

    scales: int = param(default=4000, help="T, the noise scales of the trained chain", low=2, high=1e6)
    s: float = param(
        default=0.008, help="offset that keeps the first betas from being too small", above=0, high=1
    )
    eps: float = param(
        default=2.5e-4, help="time at which sampling ends; published: 1 / scales", above=0, high=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.eps * self.scales < 1 - 1e-9:
            raise BenchError(
                f"vp_cosine.eps must be at least 1 / scales = {1 / self.scales:g}, not {self.eps:g}"
            )

    @functools.cached_property
    def _last(self) -> tuple[float, float, float]:
        """Time and ln alpha of the last scale but one, and the slope of ln alpha from there to t = 1."""
        t = 1 - 1 / self.scales
        log_alpha = float(self._log_cosine(np.asarray(t)))
        return t, log_alpha, 0.5 * math.log(self.smallest_ratio) * self.scales

    def _angle(self, t: Array) -> Array:
        """The angle of t without the offset's, ``t / (1 + s) pi / 2``."""
        angle: Array = np.asarray(t) / (1 + self.s) * (math.pi / 2)
        return angle

    @property
    def _offset(self) -> float:
        """The offset's angle."""
        return self.s / (1 + self.s) * (math.pi / 2)

    def _log_cosine(self, t: Array) -> Array:
        """ln alpha by the formula: ``cos(o + a) / cos(o) = 1 - (2 sin^2(a / 2) + tan(o) sin(a))``.

        In this form no digits are lost at small t.
        """
        angle = self._angle(t)
        log_alpha: Array = np.log1p(-(2 * np.sin(angle / 2) ** 2 + math.tan(self._offset) * np.sin(angle)))
        return log_alpha

    def _log_alpha(self, t: Array) -> Array:
        t_last, log_last, slope = self._last
        return np.where(t <= t_last, self._log_cosine(np.minimum(t, t_last)), log_last + slope * (t - t_last))

    def alpha(self, t: Array) -> Array:
        return np.exp(self._log_alpha(t))

    def sigma(self, t: Array) -> Array:
        return np.sqrt(-np.expm1(2 * self._log_alpha(t)))

    def beta(self, t: Array) -> Array:
        """``-2 d ln alpha / dt``; at the last scale but one the formula's value, from below."""
        t_last, _, slope = self._last
        angle = self._angle(np.minimum(t, t_last)) + self._offset
        return np.where(t <= t_last, math.pi / (1 + self.s) * np.tan(angle), -2 * slope)

    def drift(self, t: Array) -> Array:
        return -0.5 * self.beta(t)

    def diffusion(self, t: Array) -> Array:
        return np.sqrt(self.beta(t))

    def position(self, t: float, count: int) -> float:
        return t * count - 1

    def snap(self, t: Array, count: int) -> Array:
        """Times of the strided subsequence, as improved-diffusion's ``space_timesteps`` selects it.

        The stride is added up in floating point and each sum rounded half to even, both counted from the
        first scale: that decides the ties.
        """
        if not 1 < count <= self.scales:
            return t
        first = round(float(t[0]) * self.scales)
        stride = (self.scales - first) / (count - 1)
        sums = np.cumsum(np.concatenate([[0.0], np.full(count - 1, stride)]))
        return (first + np.round(sums)) / self.scales

    def chain(self, t: Array, count: int) -> tuple[Array, Array]:
        """The exact transition between the grid's times, beta recomputed from alpha."""
        return self.transition(t, np.concatenate([[0.0], t[:-1]]))
