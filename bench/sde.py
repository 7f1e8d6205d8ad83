"""Role SDE: the forward process, its marginals, and its discretisation on a time grid.

Every SDE here is linear with a scalar diffusion,

    dx = f(t) x dt + g(t) dw,   t in [0, T],   x(t) = alpha(t) x(0) + sigma(t) noise,

(Song et al. 2021, eq. 5 and section 3.4). All of this is host arithmetic in float64; nothing here
touches a tensor, and a run's coefficients are computed once.
"""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.params import Plugin

Array = NDArray[np.float64]
GridKind = Literal["uniform", "logsnr", "polynomial"]


@dataclasses.dataclass(frozen=True, slots=True)
class Level:
    """A noise level: time t with its marginal ``x(t) = alpha x(0) + sigma noise``.

    ``index`` of ``count`` is the scale's integer position on the published uniform grid (0 is the
    smallest noise); both are None off that grid.
    """

    t: float
    alpha: float
    sigma: float
    index: int | None = None
    count: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Scale(Level):
    """One scale of a run: its level, the next (less noisy) one, and the chain between the two.

    ``a`` and ``g`` are the discrete forward step ``x_i = a x_{i-1} + g z`` that leads here from the
    next scale; ``drift`` and ``diffusion`` are f(t) and g(t); ``dt = t - t_next > 0``. ``shrink`` is
    the squared mean factor of the step, the alpha_i of the Langevin corrector. ``a_back``, ``g_back``
    are the chain that ancestral sampling reverses (the published one, or the exact transition where
    none is published) and ``posterior`` the standard deviation of x_{i-1} given x_i and x_0 on it,
    ``g_back sqrt(v_{i-1} / v_i)`` with ``v_i = a_back^2 v_{i-1} + g_back^2``; ``alpha_back``, ``sigma_back``
    are that chain's own marginal at this scale. The last scale's next level is t = 0, clean data.
    ``steps`` is the number of scales of the run, whatever its grid.
    """

    dt: float = 0.0
    t_next: float = 0.0
    alpha_next: float = 1.0
    sigma_next: float = 0.0
    drift: float = 0.0
    diffusion: float = 0.0
    a: float = 1.0
    g: float = 0.0
    shrink: float = 1.0
    a_back: float = 1.0
    g_back: float = 0.0
    posterior: float = 0.0
    alpha_back: float = 1.0
    sigma_back: float = 0.0
    steps: int = dataclasses.field(default=1, kw_only=True)

    @property
    def last(self) -> bool:
        """Whether the step from here ends on clean data."""
        return self.sigma_next == 0


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

    def shrink(self, t: Array, t_next: Array, count: int) -> Array:
        """Squared mean factor of one step, the Langevin corrector's alpha_i, on the uniform grid."""
        del count
        return (self.alpha(t) / self.alpha(t_next)) ** 2

    def transition(self, t: Array, t_next: Array) -> tuple[Array, Array]:
        """Exact ``x(t) = a x(t_next) + g z``, from the marginals; t_next = 0 is clean data."""
        clean = t_next == 0
        a = self.alpha(t) / np.where(clean, 1.0, self.alpha(t_next))
        variance = self.sigma(t) ** 2 - (a * np.where(clean, 0.0, self.sigma(t_next))) ** 2
        return a, np.sqrt(np.maximum(variance, 0.0))

    def at(self, t: float) -> Level:
        """The marginal at time t."""
        time = np.asarray(t, dtype=np.float64)
        return Level(float(t), float(self.alpha(time)), float(self.sigma(time)))


def time_grid(sde: SDE, steps: int, kind: GridKind = "uniform", rho: float = 7.0) -> Array:
    """Times of a run's scales, ascending: ``t[0] = eps``, ``t[-1] = T``; shape (steps,).

    * ``uniform``: evenly spaced in t, as published.
    * ``logsnr``: evenly spaced in ``ln(sigma / alpha)``.
    * ``polynomial``: ``(sigma / alpha)^(1 / rho)`` evenly spaced (Karras et al. 2022, eq. 5).
    """
    if steps < 1:
        raise BenchError(f"steps must be at least 1, not {steps}")
    if steps == 1:
        return np.array([sde.end])
    if kind == "uniform":
        return sde.snap(np.linspace(sde.eps, sde.end, steps), steps)
    ends = np.array([sde.eps, sde.end])
    low, high = np.log(sde.sigma(ends) / sde.alpha(ends))
    if kind == "logsnr":
        ratio = np.linspace(low, high, steps)
    else:
        ratio = rho * np.log(np.linspace(np.exp(low / rho), np.exp(high / rho), steps))
    t = sde.time_at(ratio)
    t[0], t[-1] = ends
    return t


def label_levels(sde: SDE, steps: int, known: int) -> list[Level]:
    """The levels that a network of ``known`` scales is asked at on the uniform grid of ``steps`` scales.

    Scale i is given the label ``floor(i known / steps)``: of half as many scales, floor(i / 2), the
    rounding interpolation of Song et al. (2021), Table 4. Shape (steps,), from the smallest noise.
    """
    if known > steps:
        raise BenchError(f"label_scales ({known}) must not exceed steps ({steps})")
    t = time_grid(sde, known)
    levels = [dataclasses.replace(sde.at(float(t[k])), index=k, count=known) for k in range(known)]
    return [levels[i * known // steps] for i in range(steps)]


def scales(sde: SDE, steps: int, kind: GridKind = "uniform", rho: float = 7.0) -> list[Scale]:
    """A run's scales from the noisiest to the cleanest, every coefficient computed once.

    On the uniform grid the chain is the published one; on any other it is the exact transition.
    """
    t = time_grid(sde, steps, kind, rho)
    t_next = np.concatenate([[0.0], t[:-1]])
    alpha_next = np.concatenate([[1.0], sde.alpha(t[:-1])])
    sigma_next = np.concatenate([[0.0], sde.sigma(t[:-1])])
    uniform = kind == "uniform"
    if uniform:
        a, g = sde.chain(t, steps)
        shrink = sde.shrink(t, t_next, steps)
        a_back, g_back = sde.ancestral_chain(t, t_next, steps)
    else:
        a_back, g_back = a, g = sde.transition(t, t_next)
        shrink = a**2
    posterior, sigma_back, v = np.zeros_like(t), np.zeros_like(t), 0.0
    for i in range(steps):
        below, v = v, a_back[i] ** 2 * v + g_back[i] ** 2
        posterior[i] = g_back[i] * math.sqrt(below / v)
        sigma_back[i] = math.sqrt(v)
    columns = [t, sde.alpha(t), sde.sigma(t), t - t_next, t_next, alpha_next, sigma_next]
    columns += [sde.drift(t), sde.diffusion(t), a, g, shrink, a_back, g_back, posterior]
    columns += [np.cumprod(a_back), sigma_back]
    rows = np.stack([np.broadcast_to(c, t.shape) for c in columns], axis=1).tolist()
    return [
        Scale(t_, al, si, i if uniform else None, steps if uniform else None, *rest, steps=steps)
        for i, (t_, al, si, *rest) in reversed(list(enumerate(rows)))
    ]
