"""Role SDE: the forward process, its marginals, and its discretization on a time grid.

Every SDE here is linear with a scalar diffusion,

    dx = f(t) x dt + g(t) dw,   t in [0, T],   x(t) = alpha(t) x(0) + sigma(t) noise,

(Song et al. 2021, eq. 5 and section 3.4). All of this is host arithmetic in float64; nothing here
touches a tensor, and a run's coefficients are computed once.
"""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from typing import ClassVar, Literal, Self

import numpy as np

from bench.diffusion.levels import NoiseLevel
from bench.errors import BenchError
from bench.params import Plugin
from bench.types import Array

SMALLEST_TIME = 1e-12
"""The smallest time that `SDE.time_at` gives."""


class SDE(Plugin):
    """A forward SDE: ``dx = f(t) x dt + g(t) dw``, ``x(t) = alpha(t) x(0) + sigma(t) noise``, t in [0, T].

    A subclass defines f (`drift`), g (`diffusion`), `alpha` and `sigma`. Each maps a float64 array of times
    to an array of the same shape. Its parameters are fields. Sigmas are in units of ``data_range``.
    Everything here is host arithmetic in float64.

    Raises:
        BenchError: ``eps`` is not between 0 and T, or a parameter is out of range.

    Source: Song et al. (2021), eq. 5 and section 3.4.
    """

    data_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    """The range in which the SDE's checkpoints take images."""
    best_snr: ClassVar[float] = 0.16
    """The published signal-to-noise ratio r of the Langevin corrector (Song et al. 2021, Table 5)."""
    ancestral_noise: ClassVar[Literal["posterior", "forward"]] = "posterior"
    """Which of DDPM's two reverse variances ancestral sampling uses (Ho et al. 2020, section 3.2)."""
    multistep_variable: ClassVar[Literal["t", "log_sigma_ratio"]] = "t"
    """The variable in which a multistep method that is published in t extrapolates past predictions:
    ``ln(sigma / alpha)`` where sigma / alpha grows without bound in a small part of [0, T]."""
    discrete_labels: ClassVar[Literal["time_index", "index_down"] | None] = None
    """How published networks that were trained at discrete scales of this SDE are told the scale, as in
    `Card.labels`; None where there are none."""
    end: ClassVar[float] = 1.0
    """T, the time of the prior."""
    slope_variable: ClassVar[Literal["sigma_ratio", "t"]] = "sigma_ratio"
    """The variable in which the literature of the SDE integrates its probability flow: ``x / alpha`` over
    sigma / alpha, or x over t as flow matching does."""

    eps: float
    """The time at which sampling ends."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.eps < self.end:
            raise BenchError(f"{self.name}.eps must lie between 0 and {self.end:g}, not {self.eps:g}")

    @abstractmethod
    def drift(self, t: Array) -> Array:
        """f(t), the drift's factor of x, for times t of any shape."""

    @abstractmethod
    def diffusion(self, t: Array) -> Array:
        """g(t), the diffusion, for times t of any shape."""

    @abstractmethod
    def alpha(self, t: Array) -> Array:
        """alpha(t), the marginal's mean factor, for times t of any shape."""

    @abstractmethod
    def sigma(self, t: Array) -> Array:
        """sigma(t), the marginal's standard deviation, for times t of any shape."""

    def alpha_slope(self, t: Array) -> Array:
        """d alpha / dt, for times t of any shape. Default: ``f alpha``, which has no limit at alpha = 0."""
        return self.drift(t) * self.alpha(t)

    def sigma_slope(self, t: Array) -> Array:
        """d sigma / dt, for times t of any shape. Default: ``f sigma + g^2 / (2 sigma)``."""
        sigma = self.sigma(t)
        with np.errstate(divide="ignore", invalid="ignore"):  # no limit at sigma = 0
            slope: Array = self.drift(t) * sigma + self.diffusion(t) ** 2 / (2 * sigma)
        return slope

    def log_sigma_ratio(self, t: Array) -> Array:
        """``ln(sigma / alpha)``, for times t of any shape; infinite where alpha = 0."""
        with np.errstate(divide="ignore"):
            ratio: Array = np.log(self.sigma(t) / self.alpha(t))
        return ratio

    @property
    def ends_in_noise(self) -> bool:
        """Whether ``alpha(T) = 0``: at T nothing is left of the data, and the prior is exact."""
        return float(self.alpha(np.asarray(self.end))) == 0

    @property
    def log_sigma_ratio_range(self) -> tuple[float, float]:
        """``ln(sigma / alpha)`` at eps and at T; where it is infinite at T, its value at T - eps.

        Grids that are even in a function of sigma / alpha are so between these two.
        """
        last = self.end - self.eps if self.ends_in_noise else self.end
        low, high = self.log_sigma_ratio(np.array([self.eps, last])).tolist()
        return low, high

    @property
    def prior_std(self) -> float:
        """Standard deviation of the prior N(0, prior_std^2 I), from which runs start."""
        return 1.0

    def time_at(self, log_sigma_ratio: Array) -> Array:
        """The times t with ``ln(sigma(t) / alpha(t))`` as given. Default: by bisection in t.

        An SDE overrides this where it has a closed form.

        Args:
            log_sigma_ratio: Values of ln(sigma / alpha), of any shape.

        Returns:
            Times of that shape, within [1e-12, T]. A value outside the SDE's range gives the nearer end.
        """
        low, high = np.full_like(log_sigma_ratio, SMALLEST_TIME), np.full_like(log_sigma_ratio, self.end)
        for _ in range(100):
            t = (low + high) / 2
            below = self.log_sigma_ratio(t) < log_sigma_ratio
            low, high = np.where(below, t, low), np.where(below, high, t)
        return (low + high) / 2

    def level_at(self, sigma_ratio: float, *, clip: bool = False) -> NoiseLevel:
        """The noise level at which ``sigma / alpha`` takes a value; cached.

        Args:
            sigma_ratio: sigma / alpha, above 0, in units of the data range.
            clip: Whether times are clipped to [eps, T]; otherwise to the interval that `time_at` searches.

        Returns:
            The level, without index and count.
        """
        half_log_snr = -math.log(sigma_ratio)
        return _level_within(self, half_log_snr) if clip else _level(self, half_log_snr)

    def level_at_half_log_snr(self, half_log_snr: float) -> NoiseLevel:
        """The noise level at which ``lambda = ln(alpha / sigma)`` takes a value; cached.

        lambda is half the logarithm of the signal-to-noise ratio.

        Args:
            half_log_snr: lambda, in nats.

        Returns:
            The level, without index and count.
        """
        return _level(self, float(half_log_snr))

    def position(self, t: float, count: int) -> float:
        """Position of time t among the trained noise scales, 0 for the smallest: ``t (count - 1) / T``.

        Args:
            t: Time.
            count: Number of trained noise scales.

        Returns:
            The position, from 0 to count - 1; not rounded.
        """
        return t / self.end * (count - 1)

    def chain_times(self, count: int) -> Array:
        """The times of the published chain of ``count`` noise scales: evenly spaced, then `snap`.

        Args:
            count: Number of noise scales, at least 1.

        Returns:
            Times (count,), ascending: from eps to T, or T alone.
        """
        if count == 1:
            return np.array([self.end])
        return self.snap(np.linspace(self.eps, self.end, count), count)

    def snap(self, t: Array, count: int) -> Array:
        """The times of the published chain nearest to those of the uniform grid. Default: the grid's own.

        Args:
            t: Times of the uniform grid (count,), ascending.
            count: Number of noise scales of the chain.

        Returns:
            Times (count,).
        """
        del count
        return t

    def chain(self, t: Array, count: int) -> tuple[Array, Array]:
        """Chain ``x_i = a_i x_{i-1} + g_i z`` on the uniform grid of ``count`` noise scales.

        Default, where no chain is published: the exact transition between the grid's times.

        Args:
            t: Times of the grid (count,), ascending.
            count: Number of noise scales.

        Returns:
            a and g, each (count,).
        """
        del count
        return self.transition(t, np.concatenate([[0.0], t[:-1]]))

    def ancestral_chain(self, t: Array, t_next: Array, count: int) -> tuple[Array, Array]:
        """The chain that ancestral sampling reverses on the uniform grid. Default: `chain`.

        Args:
            t: Times of the grid (count,), ascending.
            t_next: The next, earlier, time of each (count,); 0 for the first.
            count: Number of noise scales.

        Returns:
            a and g of ``x_i = a_i x_{i-1} + g_i z``, each (count,).
        """
        del t_next
        return self.chain(t, count)

    def alpha_ratio(self, t: Array, t_next: Array, count: int) -> Array:
        """Squared mean factor of each move on the uniform grid, the alpha_i of the Langevin corrector.

        Default: ``(alpha(t) / alpha(t_next))^2``.

        Args:
            t: Times of the grid (count,), ascending.
            t_next: The next, earlier, time of each (count,); 0 for the first.
            count: Number of noise scales.

        Returns:
            Factors (count,).

        Source: Song et al. (2021), Algorithm 5.
        """
        del count
        return (self.alpha(t) / self.alpha(t_next)) ** 2

    def transition(self, t: Array, t_next: Array) -> tuple[Array, Array]:
        """Exact transition ``x(t) = a x(t_next) + g z``, from the marginals.

        Args:
            t: Times, of any shape.
            t_next: Earlier times of the same shape; 0 stands for clean data.

        Returns:
            a and g, of the same shape.
        """
        clean = t_next == 0
        a = self.alpha(t) / np.where(clean, 1.0, self.alpha(t_next))
        variance = self.sigma(t) ** 2 - (a * np.where(clean, 0.0, self.sigma(t_next))) ** 2
        return a, np.sqrt(np.maximum(variance, 0.0))

    def cut(self, end: float) -> Self:
        """This SDE on [0, end]: its functions, with another T.

        Args:
            end: The new T, above eps.

        Returns:
            An SDE whose runs start at ``end``; it equals no SDE of another T.
        """
        shorter: Self = _shorter(type(self), end).build(self.values())  # type: ignore[assignment]
        return shorter

    def at(self, t: float) -> NoiseLevel:
        """The noise level at time t, without index and count."""
        time = np.asarray(t, dtype=np.float64)
        return NoiseLevel(
            float(t),
            float(self.alpha(time)),
            float(self.sigma(time)),
            alpha_slope=float(self.alpha_slope(time)),
            sigma_slope=float(self.sigma_slope(time)),
        )


@functools.cache
def _shorter(cls: type[SDE], end: float) -> type[SDE]:
    """A subclass with another T."""
    return type(cls.__name__, (cls,), {"end": end, "__module__": cls.__module__, "__doc__": cls.__doc__})


# A bisection costs milliseconds, and every batch of a run visits the same levels.
@functools.lru_cache(maxsize=16384)
def _level(sde: SDE, half_log_snr: float) -> NoiseLevel:
    (t,) = sde.time_at(np.array([-half_log_snr]))
    return sde.at(float(t))


@functools.lru_cache(maxsize=16384)
def _level_within(sde: SDE, half_log_snr: float) -> NoiseLevel:
    ends = np.array([sde.eps, sde.end])
    low, high = sde.log_sigma_ratio(ends)
    (t,) = sde.time_at(np.array([min(max(-half_log_snr, low), high)]))
    return sde.at(float(min(max(t, sde.eps), sde.end)))
