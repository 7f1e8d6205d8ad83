"""The paper's three SDEs (Song et al. 2021, section 3.4 and appendix B), t in [0, 1]."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np

from bench import SDE, Array, BenchError, param


class VE(SDE):
    """Variance exploding: ``dx = sigma(t) sqrt(2 ln(sigma_max / sigma_min)) dw``.

    Marginal (eq. 31): alpha = 1, ``sigma(t) = sigma_min (sigma_max / sigma_min)^t``; prior
    N(0, sigma_max^2). Discrete chain: geometric noise scales sigma_i, with sigma_{-1} = 0.
    """

    name = "ve"
    data_range = (0.0, 1.0)
    best_snr = 0.16
    ancestral_noise: ClassVar[Literal["posterior", "forward"]] = "posterior"
    discrete_labels: ClassVar[Literal["time_index", "index_down"] | None] = "index_down"

    sigma_min: float = param(default=0.01, help="smallest noise scale, in units of the data range", above=0)
    sigma_max: float = param(default=50.0, help="largest noise scale", above=0, high=1e6)
    eps: float = param(default=1e-5, help="time at which sampling ends", above=0, high=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma_min >= self.sigma_max:
            raise BenchError(
                f"ve.sigma_min ({self.sigma_min:g}) must be below ve.sigma_max ({self.sigma_max:g})"
            )

    def drift(self, t: Array) -> Array:
        return np.zeros_like(t)

    def diffusion(self, t: Array) -> Array:
        return self.sigma(t) * math.sqrt(2 * math.log(self.sigma_max / self.sigma_min))

    def alpha(self, t: Array) -> Array:
        return np.ones_like(t)

    def sigma(self, t: Array) -> Array:
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t

    @property
    def prior_std(self) -> float:
        return self.sigma_max

    def time_at(self, log_sigma_ratio: Array) -> Array:
        """``t = ln(sigma / sigma_min) / ln(sigma_max / sigma_min)``."""
        low, high = math.log(self.sigma_min), math.log(self.sigma_max)
        return np.clip((log_sigma_ratio - low) / (high - low), 1e-12, self.end)

    def chain(self, t: Array, count: int) -> tuple[Array, Array]:
        """a_i = 1, ``g_i = sqrt(sigma_i^2 - sigma_{i-1}^2)`` (eq. 8)."""
        sigma = (
            np.geomspace(self.sigma_min, self.sigma_max, count) if count > 1 else np.array([self.sigma_max])
        )
        below = np.concatenate([[0.0], sigma[:-1]])
        return np.ones_like(t), np.sqrt(sigma**2 - below**2)


class _LinearBeta(SDE):
    """Common to VP and sub-VP: ``beta(t) = beta_min + t (beta_max - beta_min)``, drift -beta/2."""

    name = "linear_beta"
    best_snr = 0.01

    beta_min: float = param(default=0.1, help="beta at t = 0", above=0)
    beta_max: float = param(default=20.0, help="beta at t = 1", above=0, high=1e3)
    eps: float = param(default=1e-3, help="time at which sampling ends", above=0, high=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta_min > self.beta_max:
            raise BenchError(
                f"{self.name}.beta_min ({self.beta_min:g}) must not exceed beta_max ({self.beta_max:g})"
            )

    def beta(self, t: Array) -> Array:
        """beta(t)."""
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def integral(self, t: Array) -> Array:
        """``int_0^t beta(s) ds``."""
        return self.beta_min * t + 0.5 * t**2 * (self.beta_max - self.beta_min)

    def time_of_integral(self, integral: Array) -> Array:
        """The inverse of `integral`: ``t = 2 I / (beta_min + sqrt(beta_min^2 + 2 I (beta_max - beta_min)))``.

        Beyond T's and 1e-12's it gives these times.
        """
        within = np.minimum(integral, self.integral(np.asarray(self.end)))
        root = np.sqrt(self.beta_min**2 + 2 * within * (self.beta_max - self.beta_min))
        return np.clip(2 * within / (self.beta_min + root), 1e-12, self.end)

    def drift(self, t: Array) -> Array:
        return -0.5 * self.beta(t)

    def alpha(self, t: Array) -> Array:
        return np.exp(-0.5 * self.integral(t))


class VP(_LinearBeta):
    """Variance preserving: ``dx = -beta(t)/2 x dt + sqrt(beta(t)) dw`` (eq. 32); prior N(0, 1).

    Marginal (eq. 33): ``alpha = exp(-int beta / 2)``, ``sigma^2 = 1 - alpha^2``. Discrete chain
    (DDPM): ``a_i = sqrt(1 - beta_i)``, ``g_i = sqrt(beta_i)``, beta_i evenly spaced from beta_min/N
    to beta_max/N: N = 2000 halves DDPM's betas.
    """

    name = "vp"
    ancestral_noise: ClassVar[Literal["posterior", "forward"]] = "forward"
    discrete_labels: ClassVar[Literal["time_index", "index_down"] | None] = "time_index"

    def diffusion(self, t: Array) -> Array:
        return np.sqrt(self.beta(t))

    def sigma(self, t: Array) -> Array:
        return np.sqrt(-np.expm1(-self.integral(t)))

    def time_at(self, log_sigma_ratio: Array) -> Array:
        """By ``int_0^t beta = ln(1 + (sigma / alpha)^2)``."""
        return self.time_of_integral(np.logaddexp(0.0, 2 * log_sigma_ratio))

    def _betas(self, count: int) -> Array:
        beta = np.linspace(self.beta_min / count, self.beta_max / count, count)
        if beta.max() >= 1:
            raise BenchError(
                f"vp's discrete chain needs more than {self.beta_max:g} steps, not {count} "
                "(beta_max / steps must stay below 1): raise --steps or take --grid polynomial"
            )
        return beta

    def chain(self, t: Array, count: int) -> tuple[Array, Array]:
        """``a_i = sqrt(1 - beta_i)``, ``g_i = sqrt(beta_i)`` (eq. 10)."""
        del t
        beta = self._betas(count)
        return np.sqrt(1 - beta), np.sqrt(beta)

    def alpha_ratio(self, t: Array, t_next: Array, count: int) -> Array:
        """``1 - beta_i``, as published."""
        del t, t_next
        return 1 - self._betas(count)


class SubVP(_LinearBeta):
    """Sub-VP: ``dx = -beta/2 x dt + sqrt(beta (1 - exp(-2 int beta))) dw`` (eq. 34); prior N(0, 1).

    Marginal (eq. 35): alpha as VP's, ``sigma = 1 - alpha^2``. Its published discretization is
    Euler-Maruyama with dt = 1/N.
    """

    name = "subvp"

    def diffusion(self, t: Array) -> Array:
        return np.sqrt(-self.beta(t) * np.expm1(-2 * self.integral(t)))

    def chain(self, t: Array, count: int) -> tuple[Array, Array]:
        """Euler-Maruyama with dt = 1 / count, as published (appendix E)."""
        return 1 + self.drift(t) / count, self.diffusion(t) / math.sqrt(count)

    def ancestral_chain(self, t: Array, t_next: Array, count: int) -> tuple[Array, Array]:
        """The exact transition between the grid's times: nothing is published for sub-VP."""
        del count
        return self.transition(t, t_next)

    def sigma(self, t: Array) -> Array:
        return -np.expm1(-self.integral(t))

    def time_at(self, log_sigma_ratio: Array) -> Array:
        """By ``sigma / alpha = 2 sinh(int_0^t beta / 2)``."""
        with np.errstate(over="ignore"):
            return self.time_of_integral(2 * np.arcsinh(np.exp(log_sigma_ratio) / 2))
