"""Whether a sampler converges to the exact answer, how fast, and how it compares with the built-in ones.

The state is taken at the last noise level (a solver's at its end), and it starts from the exact marginal at
T, so that neither the prior's mismatch nor the way a run ends changes the error.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from bench.diffusion.roles import Solver
from bench.diffusion.sde import SDE
from bench.testing.context import CheckContext
from bench.testing.probe import (
    MIXTURE,
    SHAPE,
    CountedNoise,
    Part,
    Tensor,
    has_steps,
    prior,
    with_steps,
    with_tolerance,
)
from bench.testing.report import Finding, Point, guard, verdict
from bench.types import Array

STEPS = (14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 452)
"""Step counts, each sqrt(2) times the one before."""
SAMPLED_STEPS = (20, 80)
"""Step counts where moments are sampled: this takes longer, and shows no order."""
WINDOW = 5
"""Points, a factor of four in steps, that a slope is fitted to."""
T_95 = 3.182
"""Student's t of 3 degrees of freedom, two-sided 95 %."""
ROUGH = 0.3
"""Largest relative error at the finest steps: the roughest of sound methods stays below it."""
TOLERANCES = (1e-3, 1e-5, 1e-7)
"""Tolerances at which an adaptive solver's error must fall."""
CURVE = (5, 10, 20, 40, 80, 160)
"""Step counts of the plot."""
CURVE_TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5)
"""Tolerances of an adaptive solver's curve in the plot."""


def check_convergence(part: Part, context: CheckContext) -> Iterator[Finding | Point]:
    """Order and limit on every SDE, agreement with RK45, and the points of the plot."""
    first = context.sdes[0]
    noisy = context.trial(with_steps(part, 10), first, 10, prior(2)).draws > 0
    if part.linear:
        yield from guard("linear", lambda: superposition(part, first, context))
    for sde in context.sdes:
        check = functools.partial(order, part, sde, context, noisy=noisy)
        yield from guard(f"convergence, {sde.name}", check)
    if not noisy:
        for sde in context.sdes:
            yield from guard(f"RK45, {sde.name}", functools.partial(compare_with_rk45, part, sde, context))
    for sde in context.sdes:
        yield from curves(part, sde, context, noisy=noisy)


def error_of(part: Part, sde: SDE, steps: int, context: CheckContext, *, noisy: bool) -> tuple[float, int]:
    """Relative error of the result on Gaussian data, and the network calls it took.

    Without noise: root mean square of the distance to the exact flow, per sample and coordinate, over the
    marginal's deviation. With noise: the same of means and deviations; exactly, by unit impulses, where the
    sampler is linear; else of 1024 samples, with their sampling error in it.
    """
    part = with_steps(part, steps)
    if not noisy:
        return _flow_error(part, sde, steps, context)
    if part.linear:
        return _impulse_error(part, sde, steps, context)
    return _sampled_error(part, sde, steps, context)


def _start(sde: SDE, batch: int, context: CheckContext) -> tuple[Tensor, Tensor]:
    """Draws of the exact marginal at T, and the prior noise that makes the loop start from them."""
    mean, variance = (torch.from_numpy(array) for array in context.marginal(sde, sde.at(sde.end)))
    x = mean + variance.sqrt() * prior(batch)
    return x, x / sde.prior_std


def _target(part: Part, sde: SDE, context: CheckContext) -> tuple[Array, Array]:
    """Mean and variance of the exact answer: the marginal at eps, or the data expected from it."""
    mean, variance = context.marginal(sde, sde.at(sde.eps))
    if isinstance(part, Solver) and part.ends_clean:
        level, (data, spread) = sde.at(sde.eps), context.gaussian(sde)
        return data, (level.alpha * spread) ** 2 / variance
    return mean, variance


def _flow_error(part: Part, sde: SDE, steps: int, context: CheckContext) -> tuple[float, int]:
    x, noise = _start(sde, 4, context)
    trial = context.trial(part, sde, steps, noise)
    mean_t, variance_t = (torch.from_numpy(array) for array in context.marginal(sde, sde.at(sde.end)))
    mean, variance = (torch.from_numpy(array) for array in _target(part, sde, context))
    exact = mean + (variance / variance_t).sqrt() * (x - mean_t)
    off = (trial.final_state - exact) / variance.sqrt()
    return float((off**2).mean().sqrt()), trial.calls


def _impulse_error(part: Part, sde: SDE, steps: int, context: CheckContext) -> tuple[float, int]:
    zero = torch.zeros(1, *SHAPE, dtype=torch.float64)
    silence = CountedNoise(draw=lambda _, x: torch.zeros_like(x))
    draws = context.trial(part, sde, steps, zero, noise=silence).draws

    def impulse(count: int, x: Tensor) -> Tensor:
        z = torch.zeros_like(x)
        z[1 + count] = 1
        return z

    # row 0 is the response to nothing, row 1 to a unit start, row 1 + i to a unit in the i-th draw
    starts = torch.zeros(2 + draws, *SHAPE, dtype=torch.float64)
    starts[1] = 1 / sde.prior_std
    trial = context.trial(part, sde, steps, starts, noise=CountedNoise(draw=impulse))
    states = trial.final_state.numpy()
    response = states[1:] - states[0]
    mean_t, variance_t = context.marginal(sde, sde.at(sde.end))
    mean = states[0] + response[0] * mean_t
    variance = response[0] ** 2 * variance_t + (response[1:] ** 2).sum(axis=0)
    return _distance(mean, variance, *_target(part, sde, context)), trial.calls


def _sampled_error(part: Part, sde: SDE, steps: int, context: CheckContext) -> tuple[float, int]:
    _, noise = _start(sde, 1024, context)
    trial = context.trial(part, sde, steps, noise)
    x = trial.final_state.numpy()
    mean, variance = _target(part, sde, context)
    # subtract what the estimates themselves scatter: 1 / n of means and 1 / (2 n) of deviations
    square = _distance(x.mean(axis=0), x.var(axis=0, ddof=1), mean, variance) ** 2 - 1.5 / len(x)
    return math.sqrt(max(square, 0.0)), trial.calls


def _distance(mean: Array, variance: Array, exact_mean: Array, exact_variance: Array) -> float:
    off = (mean - exact_mean) ** 2 / exact_variance + (np.sqrt(variance / exact_variance) - 1) ** 2
    return float(np.sqrt(off.mean()))


def superposition(part: Part, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """A sum of starts and noises gives the sum of results, less that of zero: it is linear as declared."""
    part = with_steps(part, 7)
    one, two = prior(2, seed=21), prior(2, seed=22)
    draws = [prior(64, seed=23), prior(64, seed=24)]

    def result(start: Tensor, weights: tuple[float, float]) -> Tensor:
        def noise(count: int, x: Tensor) -> Tensor:
            return sum((w * d[count % 64] for w, d in zip(weights, draws, strict=True)), torch.zeros_like(x))

        return context.trial(part, sde, 7, start, noise=CountedNoise(draw=noise)).x

    of_zero = result(torch.zeros_like(one), (0.0, 0.0))
    separate = result(one, (1.0, 0.0)) + result(two, (0.0, 1.0)) - of_zero
    off = float((result(one + two, (1.0, 1.0)) - separate).abs().max() / separate.abs().max())
    # float64 in some hundred operations
    yield verdict(
        "linear", off < 1e-9, f"off by {off:.1e}", "linear in state and noise, as declared", off=off
    )


@dataclasses.dataclass(frozen=True)
class Slope:
    """A fitted order with half its 95 % interval, and the steps it was fitted over."""

    order: float
    half: float
    first: int
    last: int


def steepest_slope(steps: Sequence[int], errors: Sequence[float], largest: float) -> Slope | None:
    """The steepest slope of ln error against ln 1/steps over any `WINDOW` neighbors, by least squares.

    A window counts where all its errors are below ``largest`` (above, a step is too long for an order to mean
    anything) and above 1e-11 (float error). Multistep methods show their order at the finest grids alone,
    because their first steps have a lower one; a method that lacks its order has it in no window.
    """
    slopes = []
    for i in range(len(steps) - WINDOW + 1):
        window = errors[i : i + WINDOW]
        if max(window) < largest and min(window) > 1e-11:
            slopes.append(_fit(steps[i : i + WINDOW], window))
    return max(slopes, key=lambda slope: slope.order, default=None)


def _fit(steps: Sequence[int], errors: Sequence[float]) -> Slope:
    u, y = -np.log(steps), np.log(errors)
    slope, start = np.polyfit(u, y, 1)
    residual = float(((y - slope * u - start) ** 2).sum())
    half = T_95 * math.sqrt(residual / (WINDOW - 2) / float(((u - u.mean()) ** 2).sum()))
    return Slope(float(slope), half, steps[0], steps[-1])


def order(part: Part, sde: SDE, context: CheckContext, *, noisy: bool) -> Iterator[Finding]:
    """The measured order where a run ends at noise of the data's size; the error at the SDE's own end.

    Where the flow is straight, as at a small eps, errors along the run may cancel and the order come out too
    high: hence the earlier end.
    """
    name = f"convergence, {sde.name}"
    if isinstance(part, Solver) and not has_steps(part):
        yield from limit(part, sde, context)
        return
    cut, declared = context.middle(sde), part.convergence_order
    lowest = 0.5 if declared is None else declared - 0.3
    sampled = noisy and not part.linear
    steps: Sequence[int] = SAMPLED_STEPS if sampled else STEPS
    errors: list[float] = []
    for n in steps:
        errors.append(error_of(part, cut, n, context, noisy=noisy)[0])
        slope = steepest_slope(steps[: len(errors)], errors, 0.1)
        if declared is not None and slope is not None and slope.order >= lowest:
            break  # finer steps would change nothing
    steps = steps[: len(errors)]
    last = steps[-1] if sampled else max(160, steps[-1])
    end = error_of(part, sde, last, context, noisy=noisy)[0]
    numbers: dict[str, float | Sequence[float] | None] = {
        "steps": list(steps), "errors": errors, "at_own_end": end, "declared": declared,
    }  # fmt: skip
    slope = None
    if not sampled:
        slope = steepest_slope(steps, errors, 0.1) or steepest_slope(steps, errors, 2 * ROUGH)
    measured = f"error {end:.1e} at {last} steps"
    if max(errors[-3:]) < 1e-9:
        exact = f"{measured}: exact"
        yield verdict(name, end < ROUGH, exact, "converges to the exact answer", **numbers)
        return
    if slope is None:
        # without an order, the error must be small in the end, and smaller than at first
        good = math.isfinite(end) and errors[-1] < max(0.5 * errors[0], 0.02) and end < ROUGH
        why = "sampled moments, no order" if sampled else "no order can be measured"
        required = "error falls" if declared is None or sampled else f"order {declared:g}"
        yield verdict(name, good and (declared is None or sampled), f"{measured}; {why}", required, **numbers)
        return
    numbers |= {"order": slope.order, "half_interval": slope.half}
    measured = f"order {slope.order:.2f} ± {slope.half:.2f} ({slope.first} to {slope.last} steps), {measured}"
    required = "falls with the step" if declared is None else f"order {declared:g} - 0.3 or more"
    good = slope.order + min(slope.half, 0.2) >= lowest and end < ROUGH
    yield verdict(name, good, measured, f"{required}, error below {ROUGH:g}", **numbers)


def limit(part: Solver, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """A solver without a number of steps: the error at three tolerances must fall."""
    name = f"convergence, {sde.name}"
    variants = [variant for tol in TOLERANCES if (variant := with_tolerance(part, tol)) is not None]
    errors = [error_of(variant, sde, 0, context, noisy=False)[0] for variant in variants or [part]]
    measured = "error " + ", ".join(f"{error:.1e}" for error in errors)
    if not variants:
        yield verdict(name, errors[0] < ROUGH, measured, f"error below {ROUGH:g}", errors=errors)
        return
    falls = errors[-1] < 0.1 * errors[0] and errors[-1] < 1e-3
    tolerances = ", ".join(f"{tol:.0e}".replace("e-0", "e-") for tol in TOLERANCES)
    yield verdict(
        name, falls, f"{measured} at tolerance {tolerances}", "falls with the tolerance", errors=errors
    )


def compare_with_rk45(part: Part, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """A deterministic sampler on the mixture, whose score is not linear, against RK45 at tolerance 1e-9."""
    cut = context.middle(sde)
    noise, exact, calls = context.flow_end(cut)
    if isinstance(part, Solver) and part.ends_clean:
        level, model = cut.at(cut.eps), context.model(MIXTURE, cut)
        exact = (exact + level.sigma**2 * model.score(exact, level)) / level.alpha
    errors = []
    for n in (40, 160):
        trial = context.trial(with_steps(part, n), cut, n, noise, model=context.model(MIXTURE, cut))
        errors.append(float(((trial.final_state - exact) ** 2).mean().sqrt() / exact.std()))
    adaptive = isinstance(part, Solver) and not has_steps(part)
    lowest = min(part.convergence_order or 1.0, 2.0) - 0.5
    # over two doublings the error falls by 4^order; half an order is allowed for what is not yet asymptotic
    falls = adaptive or errors[1] < 1e-6 or errors[1] < errors[0] / 4**lowest
    measured = f"off by {errors[1]:.1e}"
    measured += "" if adaptive else f" at 160 steps, {errors[0]:.1e} at 40"
    good, required = falls and errors[1] < ROUGH, f"nearer with more steps, below {ROUGH:g}"
    yield verdict(f"RK45, {sde.name}", good, measured, required, errors=errors, rk45_calls=calls)


def curves(part: Part, sde: SDE, context: CheckContext, *, noisy: bool) -> Iterator[Point]:
    """Errors at the SDE's own end against network calls: the part's, and built-in ones' of its kind."""
    names = ("euler_maruyama", "ancestral") if noisy else ("ddim", "heun", "dpmpp_2m")
    others: list[Part] = [context.predictor(name) for name in names if name != part.name]
    for sampler in [part, *others]:
        for steps, variant in _variants(sampler):
            try:
                error, calls = error_of(variant, sde, steps, context, noisy=noisy)
            except Exception:  # the checks report it
                continue
            if math.isfinite(error) and error > 0:
                yield Point(sampler.name, sde.name, steps, calls, error)


def _variants(part: Part) -> list[tuple[int, Part]]:
    """The points of a sampler's curve: by steps, or of an adaptive solver by tolerance."""
    if not isinstance(part, Solver) or has_steps(part):
        return [(steps, part) for steps in CURVE]
    variants = [variant for tol in CURVE_TOLERANCES if (variant := with_tolerance(part, tol)) is not None]
    return [(0, variant) for variant in variants or [part]]
