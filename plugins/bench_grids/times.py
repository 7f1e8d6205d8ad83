"""Time grids that are even in a function of time."""

from __future__ import annotations

import numpy as np

from bench import SDE, Array, Grid, param


class TimeUniform(Grid):
    """``t^(1 / rho)`` is evenly spaced from T to eps (Zhang and Chen 2023, DEIS; rho = 2 in their code)."""

    name = "time_uniform"

    rho: float = param(
        default=2.0, help="exponent; larger values crowd the steps at small t", above=0, flag="rho"
    )

    def times(self, sde: SDE, steps: int) -> Array:
        root = np.linspace(sde.end ** (1 / self.rho), sde.eps ** (1 / self.rho), steps)
        return np.asarray(root**self.rho)


class Quadratic(Grid):
    """``t = eps + (T - eps) u^2`` with u evenly spaced from 1 to 0 (Song, Meng and Ermon 2021, DDIM, D.3).

    On N noise scales these are the positions ``(N - 1) u^2`` of DDIM's quadratic subsequence. Its code takes
    0.8 N in place of N - 1, which leaves out the largest noise, where a run here starts.
    """

    name = "quadratic"

    def times(self, sde: SDE, steps: int) -> Array:
        u = np.linspace(1, 0, steps)
        return sde.eps + (sde.end - sde.eps) * u**2


class Shift(Grid):
    """``t = T s u / (1 + (s - 1) u)`` with u evenly spaced: more noise at larger resolution.

    u starts at 1, which is t = T, and ends where t is eps. On the SDE alpha = 1 - t, sigma = t the map takes
    the ratio sigma / alpha to s times itself (Esser et al. 2024, Stable Diffusion 3, eq. 23: s = sqrt(m / n)
    for m in place of n pixels; 3 at 1024 x 1024).
    """

    name = "shift"

    shift: float = param(default=3.0, help="s; 1 is the uniform grid", above=0, high=1e4)

    def times(self, sde: SDE, steps: int) -> Array:
        eps, s = sde.eps / sde.end, self.shift
        u = np.linspace(1, eps / (s - (s - 1) * eps), steps)
        return sde.end * s * u / (1 + (s - 1) * u)
