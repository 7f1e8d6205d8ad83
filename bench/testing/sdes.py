"""Whether an SDE's functions agree with each other, so that sampling it backwards gives the data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.diffusion.sde import SDE
from bench.testing.duties import parameters
from bench.testing.report import Finding, guard, verdict
from bench.types import Array


def check_sde(sde: SDE) -> Iterator[Finding]:
    """All checks."""
    yield from guard("parameters", lambda: parameters(sde))
    yield from guard("float64 arrays", lambda: arrays(sde))
    yield from guard("moment equations", lambda: equations(sde))
    yield from guard("noise grows", lambda: monotone(sde))
    yield from guard("time of a level", lambda: inverse(sde))
    yield from guard("prior", lambda: prior(sde))
    yield from guard("chain", lambda: chain(sde))


def _times(sde: SDE, count: int = 41) -> Array:
    return np.linspace(max(sde.eps, 0.02 * sde.end), 0.98 * sde.end, count)


def arrays(sde: SDE) -> Iterator[Finding]:
    """All four functions take and return float64 arrays, one value at a time or many."""
    t, odd = _times(sde), []
    for name in ("drift", "diffusion", "alpha", "sigma"):
        values = getattr(sde, name)(t)
        single = np.array([float(getattr(sde, name)(np.asarray(time))) for time in t])
        if np.asarray(values).dtype != np.float64 or np.shape(values) != t.shape:
            odd.append(f"{name} gives {np.asarray(values).dtype} of shape {np.shape(values)}")
        elif not np.allclose(values, single, rtol=1e-12):
            odd.append(f"{name} of many times differs from one time at a time")
    yield verdict(
        "float64 arrays", not odd, odd[0] if odd else "four functions", "float64, of the times' shape"
    )


def equations(sde: SDE) -> Iterator[Finding]:
    """``d ln alpha / dt = f`` and ``d sigma^2 / dt = 2 f sigma^2 + g^2``, in integrals over 40 pieces.

    The right-hand sides are integrated by Gauss-Legendre quadrature of 20 points.
    """
    t = _times(sde)
    node, weight = np.polynomial.legendre.leggauss(20)
    low, high = t[:-1, None], t[1:, None]
    u = low + (high - low) * (node + 1) / 2
    w = weight * (high - low) / 2
    f, g = sde.drift(u), sde.diffusion(u)
    drift = (w * f).sum(axis=1)
    alpha, sigma = np.log(sde.alpha(t)), sde.sigma(t) ** 2
    off_alpha = np.abs(np.diff(alpha) - drift).max() / max(np.abs(np.diff(alpha)).max(), 1e-3)
    grown = (w * (2 * f * sde.sigma(u) ** 2 + g**2)).sum(axis=1)
    off_sigma = float((np.abs(np.diff(sigma) - grown) / sigma[1:]).max())
    measured = f"off by {off_alpha:.1e} in ln alpha, {off_sigma:.1e} in sigma^2"
    # a schedule with corners has a quadrature error
    yield verdict(
        "moment equations",
        off_alpha < 1e-3 and off_sigma < 1e-3,
        measured,
        "alpha and sigma follow from f and g (1e-3)",
        alpha=float(off_alpha),
        sigma=off_sigma,
    )


def monotone(sde: SDE) -> Iterator[Finding]:
    """sigma / alpha rises strictly; alpha starts at one."""
    t = np.linspace(sde.eps, sde.end, 1001)
    ratio = np.exp(sde.log_sigma_ratio(t))
    start = float(sde.alpha(np.asarray(0.0)))
    rises = bool((np.diff(ratio) > 0).all())
    measured = f"sigma / alpha from {ratio[0]:.2e} to {ratio[-1]:.2e}, alpha(0) = {start:g}"
    measured = measured if rises else "sigma / alpha falls somewhere"
    yield verdict("noise grows", rises and abs(start - 1) < 1e-9, measured, "strictly; alpha(0) = 1")


def inverse(sde: SDE) -> Iterator[Finding]:
    """`SDE.time_at` gives the times whose sigma / alpha it is asked for."""
    t = _times(sde)
    off = float(np.abs(sde.time_at(np.log(sde.sigma(t) / sde.alpha(t))) / t - 1).max())
    yield verdict(
        "time of a level", off < 1e-6, f"off by {off:.1e}", "time_at inverts sigma / alpha", off=off
    )


def prior(sde: SDE) -> Iterator[Finding]:
    """The prior's deviation against the marginal's at T, for data with a deviation of half its range."""
    low, high = sde.data_range
    level = sde.at(sde.end)
    exact = float(np.hypot(level.alpha * (high - low) / 2, level.sigma))
    ratio = sde.prior_std / exact
    yield verdict(
        "prior",
        abs(ratio - 1) < 0.05,
        f"{ratio:.4f} of the marginal's deviation at T",
        "within 5 %",
        ratio=ratio,
    )


def chain(sde: SDE) -> Iterator[Finding]:
    """The discrete chain of 4000 noise levels, started at the first one's marginal, follows the marginals.

    Published chains do so up to their offsets of a step or of eps: within 2 % from a quarter of the way on.
    """
    count = 4000
    t = sde.chain_times(count)
    a, g = sde.chain(t, count)
    variances = [float(sde.sigma(t[:1])[0]) ** 2]
    for a_i, g_i in zip(a[1:], g[1:], strict=True):
        variances.append(float(a_i) ** 2 * variances[-1] + float(g_i) ** 2)
    later = slice(count // 4, None)
    off = float(np.abs(np.sqrt(variances[later]) / sde.sigma(t)[later] - 1).max())
    yield verdict("chain", off < 0.02, f"deviation off by {off:.1e} at {count} steps", "within 2 %", off=off)
