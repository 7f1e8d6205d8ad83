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
    alpha_{i-1}^2`` is at most ``1 - smallest_ratio``, a bound that only the last one meets. Between scales ln
    alpha is linear in t. On the uniform grid of n <= T steps the times are rounded to those of the T scales,
    and the chain is the transition between them (Nichol & Dhariwal's strided subsequence).
    """

    name = "vp_cosine"
    best_snr = 0.01
    ancestral_noise: ClassVar[Literal["posterior", "forward"]] = "posterior"
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
    def _table(self) -> tuple[Array, Array]:
        """Times 0, 1/T, ..., 1 and ln alpha there."""
        t = np.arange(self.scales + 1) / self.scales
        square = np.cos((t + self.s) / (1 + self.s) * math.pi / 2) ** 2
        ratio = np.maximum(square[1:] / square[:-1], self.smallest_ratio)
        return t, np.concatenate([[0.0], np.cumsum(np.log(ratio)) / 2])

    def alpha(self, t: Array) -> Array:
        return np.exp(np.interp(t, *self._table))

    def sigma(self, t: Array) -> Array:
        return np.sqrt(-np.expm1(2 * np.interp(t, *self._table)))

    def beta(self, t: Array) -> Array:
        """``-2 d ln alpha / dt``, constant between scales; at a scale, the value just below it."""
        log_alpha = self._table[1]
        i = np.clip(np.ceil(np.asarray(t) * self.scales - 1e-9).astype(int), 1, self.scales)
        beta: Array = -2 * (log_alpha[i] - log_alpha[i - 1]) * self.scales
        return beta

    def drift(self, t: Array) -> Array:
        return -0.5 * self.beta(t)

    def diffusion(self, t: Array) -> Array:
        return np.sqrt(self.beta(t))

    def position(self, t: float, count: int) -> float:
        return t * count - 1

    def snap(self, t: Array, count: int) -> Array:
        return np.round(t * self.scales) / self.scales if count <= self.scales else t

    def chain(self, t: Array, count: int) -> tuple[Array, Array]:
        """The exact transition between the grid's times, beta recomputed from alpha."""
        return self.transition(t, np.concatenate([[0.0], t[:-1]]))
