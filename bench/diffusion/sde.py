"""Role SDE: the forward process, its marginals, and its discretisation on a time grid.

Every SDE here is linear with a scalar diffusion,

    dx = f(t) x dt + g(t) dw,   t in [0, T],   x(t) = alpha(t) x(0) + sigma(t) noise,

(Song et al. 2021, eq. 5 and section 3.4). All of this is host arithmetic in float64; nothing here
touches a tensor, and a run's coefficients are computed once.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np

from bench.diffusion.levels import NoiseLevel
from bench.errors import BenchError
from bench.params import Plugin
from bench.types import Array


class SDE(Plugin):
    """A forward SDE. Subclasses give f, g, alpha, sigma; parameters are fields.

    All four take and return float64 arrays of times. ``data_range`` is the range its checkpoints
    take images in; ``best_snr`` the published Langevin r (Song et al. 2021, Table 5);
    ``ancestral_noise`` which of DDPM's two reverse variances the ancestral predictor takes.
    """

    data_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    best_snr: ClassVar[float] = 0.16
    ancestral_noise: ClassVar[Literal["posterior", "forward"]] = "posterior"
    end: ClassVar[float] = 1.0

    eps: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.eps < self.end:
            raise BenchError(f"{self.name}.eps must lie between 0 and {self.end:g}, not {self.eps:g}")

    @abstractmethod
    def drift(self, t: Array) -> Array:
        """f(t), the drift's factor of x."""

    @abstractmethod
    def diffusion(self, t: Array) -> Array:
        """g(t)."""

    @abstractmethod
    def alpha(self, t: Array) -> Array:
        """Mean factor of the marginal."""

    @abstractmethod
    def sigma(self, t: Array) -> Array:
        """Standard deviation of the marginal."""

    @property
    def prior_std(self) -> float:
        """Standard deviation of the prior that runs start from."""
        return 1.0

    def time_at(self, log_ratio: Array) -> Array:
        """The times at which ``ln(sigma / alpha)`` takes the given values, by bisection."""
        low, high = np.full_like(log_ratio, 1e-12), np.full_like(log_ratio, self.end)
        for _ in range(100):
            t = (low + high) / 2
            below = np.log(self.sigma(t) / self.alpha(t)) < log_ratio
            low, high = np.where(below, t, low), np.where(below, high, t)
        return (low + high) / 2

    def position(self, t: float, count: int) -> float:
        """Where time t lies among ``count`` trained noise scales, 0 the smallest: t (count - 1)."""
        return t / self.end * (count - 1)

    def snap(self, t: Array, count: int) -> Array:
        """The times of the uniform grid of ``count`` scales as the chain has them; default: as they are."""
        del count
        return t

    def chain(self, t: Array, count: int) -> tuple[Array, Array]:
        """Published discrete chain ``x_i = a_i x_{i-1} + g_i z`` on the uniform grid of ``count`` scales.

        Default (Song et al. 2021, appendix E): Euler-Maruyama with dt = 1/count.
        """
        return 1 + self.drift(t) / count, self.diffusion(t) / math.sqrt(count)

    def ancestral_chain(self, t: Array, t_next: Array, count: int) -> tuple[Array, Array]:
        """The chain that ancestral sampling reverses on the uniform grid; default: the published one."""
        del t_next
        return self.chain(t, count)

    def alpha_ratio(self, t: Array, t_next: Array, count: int) -> Array:
        """Squared mean factor of one step, the Langevin corrector's alpha_i, on the uniform grid."""
        del count
        return (self.alpha(t) / self.alpha(t_next)) ** 2

    def transition(self, t: Array, t_next: Array) -> tuple[Array, Array]:
        """Exact ``x(t) = a x(t_next) + g z``, from the marginals; t_next = 0 is clean data."""
        clean = t_next == 0
        a = self.alpha(t) / np.where(clean, 1.0, self.alpha(t_next))
        variance = self.sigma(t) ** 2 - (a * np.where(clean, 0.0, self.sigma(t_next))) ** 2
        return a, np.sqrt(np.maximum(variance, 0.0))

    def at(self, t: float) -> NoiseLevel:
        """The marginal at time t."""
        time = np.asarray(t, dtype=np.float64)
        return NoiseLevel(float(t), float(self.alpha(time)), float(self.sigma(time)))
