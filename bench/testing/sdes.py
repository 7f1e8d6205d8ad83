"""Whether an SDE's functions agree with each other, so that sampling it backwards gives the data."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from bench.diffusion.sde import SDE
from bench.params import parameter_text
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.probe import other_settings, with_values
from bench.testing.refinement import impulse_residual, refined
from bench.testing.report import Finding, guard, verdict
from bench.types import Array

STEPS = (125, 250, 500)
"""Step counts at which the reverse-time SDE is sampled."""


def check_sde(sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """All checks; those of the functions also with each parameter at another value.

    Args:
        sde: The SDE.
        context: Where the sampler comes from that runs it backwards.
    """
    yield from guard("parameters", lambda: parameters(sde))
    for name, check in CHECKS.items():
        yield from guard(name, functools.partial(check, sde))
    yield from guard("backwards", lambda: backwards(sde, context))
    for name, value in other_settings(sde):
        setting = f"{name}={parameter_text(value)}"
        yield from guard(f"at {setting}", functools.partial(at_setting, sde, name, value, f"at {setting}"))


def at_setting(sde: SDE, parameter: str, value: object, name: str) -> Iterator[Finding]:
    """The checks of the functions with a parameter at another value: the first that fails, if any.

    Args:
        sde: The SDE.
        parameter: The parameter.
        value: Its value.
        name: Name of the finding.
    """
    variant = with_values(sde, **{parameter: value})
    for check, make in CHECKS.items():
        if parameter == "eps" and check == "chain":
            continue  # a published chain starts where it starts
        for finding in guard(check, functools.partial(make, variant)):
            if finding.status == "fail":
                yield verdict(name, False, f"{check}: {finding.measured}", finding.required)
                return
    yield verdict(name, True, f"{len(CHECKS)} checks", "the functions agree here too")


def backwards(sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """Reverse diffusion from T to eps leaves the marginal's mean and deviation, as steps get shorter.

    On normals the moments of its samples are known without sampling noise. It is of the first order.
    """
    runs = refined(
        impulse_residual(context.predictor("reverse_diffusion"), sde, context, "polynomial"), STEPS
    )
    errors = runs.errors
    good = errors[-1] < 0.1 and (runs.order is None or runs.order > 0.7)
    measured = (
        f"moments off by {errors[0]:.1e} at {runs.steps[0]} steps, {errors[-1]:.1e} at {runs.steps[-1]}"
    )
    yield verdict("backwards", good, measured, "the marginal at eps, by the first order", errors=errors)


def _times(sde: SDE, count: int = 41) -> Array:
    """Times from eps to 0.98 T: evenly spaced, and before 0.02 T by equal ratios."""
    even = np.linspace(max(sde.eps, 0.02 * sde.end), 0.98 * sde.end, count)
    early = np.geomspace(sde.eps, even[0], 9)[:-1] if sde.eps < even[0] else even[:0]
    return np.concatenate([early, even])


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
    """``d ln alpha / dt = f`` and ``d sigma^2 / dt = 2 f sigma^2 + g^2``, in integrals over short pieces."""
    t, u, w = _pieces(sde)
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


def _pieces(sde: SDE) -> tuple[Array, Array, Array]:
    """Ends of the pieces (n,), and nodes and weights (n - 1, 20) of Gauss-Legendre quadrature on each."""
    t = _times(sde)
    node, weight = np.polynomial.legendre.leggauss(20)
    low, high = t[:-1, None], t[1:, None]
    return t, low + (high - low) * (node + 1) / 2, weight * (high - low) / 2


def slopes(sde: SDE) -> Iterator[Finding]:
    """``alpha_slope`` and ``sigma_slope``, of which velocities are made, are the derivatives."""
    t, u, w = _pieces(sde)
    off = {}
    for name in ("alpha", "sigma"):
        change = np.diff(getattr(sde, name)(t))
        slope = (w * getattr(sde, f"{name}_slope")(u)).sum(axis=1)
        off[name] = float(np.abs(change - slope).max() / max(np.abs(change).max(), 1e-9))
    measured = f"off by {off['alpha']:.1e} in alpha, {off['sigma']:.1e} in sigma"
    yield verdict("slopes", max(off.values()) < 1e-3, measured, "the derivatives (1e-3)", **off)


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


CHECKS: dict[str, Callable[[SDE], Iterator[Finding]]] = {
    "float64 arrays": arrays,
    "moment equations": equations,
    "slopes": slopes,
    "noise grows": monotone,
    "time of a level": inverse,
    "prior": prior,
    "chain": chain,
}
"""The checks of the functions, by name."""
