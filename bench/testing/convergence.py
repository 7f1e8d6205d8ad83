"""Whether a sampler converges to the exact answer, how fast, and how it stands beside the built-ins.

The state is judged where it reaches the last scale (a solver's where it ends), and it starts from the exact
marginal at T, so that neither the prior's mismatch nor the way a run ends blurs it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from bench.diffusion.roles import Solver
from bench.diffusion.sde import SDE
from bench.plugins.registry import registry
from bench.testing.probe import (
    MIXTURE,
    SHAPE,
    Part,
    Ran,
    Stream,
    Tensor,
    Watched,
    changed,
    gaussian,
    marginal,
    middle,
    prior,
    run,
    truth,
    with_steps,
)
from bench.testing.report import Finding, Point, guarded, judged
from bench.types import Array

STEPS = (14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 452)
"""Step counts, each sqrt(2) of the one before."""
SAMPLED_STEPS = (20, 80)
"""Those where moments are sampled: no order can be told, and it takes longer."""
WINDOW = 5
"""Points, a factor of four in steps, that a slope is fitted to."""
T_95 = 3.182
"""Student's t of 3 degrees of freedom, two-sided 95 %."""
ROUGH = 0.3
"""Relative error below which the roughest of sound methods comes at the finest steps taken here."""
CURVE = (5, 10, 20, 40, 80, 160)
"""Step counts of the plot."""


def convergence(part: Part, sdes: Sequence[SDE]) -> Iterator[Finding | Point]:
    """Order and limit on every SDE, agreement with RK45, and the points of the plot."""
    noisy = run(with_steps(part, 10), sdes[0], 10, prior(2)).drawn > 0
    if part.linear:
        yield from guarded("linear", lambda: superposition(part, sdes[0]))
    for sde in sdes:
        yield from guarded(f"convergence, {sde.name}", lambda sde=sde: order(part, sde, noisy=noisy))  # type: ignore[misc]
    if not noisy:
        for sde in sdes:
            yield from guarded(f"RK45, {sde.name}", lambda sde=sde: beside_rk45(part, sde))  # type: ignore[misc]
    for sde in sdes:
        yield from curves(part, sde, noisy=noisy)


def judged_state(part: Part, ran: Ran) -> Tensor:
    """The state at the last scale: what a predictor's last step was given, or what a solver returned."""
    if isinstance(part, Solver):
        return ran.x
    assert ran.probe.last is not None
    return ran.probe.last[0]


def error_of(part: Part, sde: SDE, steps: int, *, noisy: bool) -> tuple[float, int]:
    """Relative error of the result on Gaussian data, and the network calls it took.

    Without noise: root mean square of the distance to the exact flow, per sample and coordinate, over the
    marginal's deviation. With noise: the same of means and deviations; exactly, by unit impulses, where the
    sampler is linear; else of 1024 samples, with their sampling error in it.
    """
    part = with_steps(part, steps)
    if not noisy:
        return _along_the_flow(part, sde, steps)
    return _by_impulses(part, sde, steps) if part.linear else _by_samples(part, sde, steps)


def _start(sde: SDE, batch: int) -> tuple[Tensor, Tensor]:
    """Draws of the exact marginal at T, and what is handed to the loop, which takes the prior's deviation."""
    mean, variance = (torch.from_numpy(one) for one in marginal(sde, sde.at(sde.end)))
    x = mean + variance.sqrt() * prior(batch)
    return x, x / sde.prior_std


def _target(part: Part, sde: SDE) -> tuple[Array, Array]:
    """Mean and variance of the exact answer: the marginal at eps, or the data expected from it."""
    mean, variance = marginal(sde, sde.at(sde.eps))
    if isinstance(part, Solver) and part.ends_clean:
        level, (data, spread) = sde.at(sde.eps), gaussian(sde)
        return data, (level.alpha * spread) ** 2 / variance
    return mean, variance


def _along_the_flow(part: Part, sde: SDE, steps: int) -> tuple[float, int]:
    x, given = _start(sde, 4)
    ran = run(part, sde, steps, given)
    mean_t, variance_t = (torch.from_numpy(one) for one in marginal(sde, sde.at(sde.end)))
    mean, variance = (torch.from_numpy(one) for one in _target(part, sde))
    exact = mean + (variance / variance_t).sqrt() * (x - mean_t)
    off = (judged_state(part, ran) - exact) / variance.sqrt()
    return float((off**2).mean().sqrt()), ran.calls


def _by_impulses(part: Part, sde: SDE, steps: int) -> tuple[float, int]:
    zero = torch.zeros(1, *SHAPE, dtype=torch.float64)
    silence = Stream(draw=lambda _, x: torch.zeros_like(x))
    draws = run(part, sde, steps, zero, noise=silence).drawn

    def impulse(count: int, x: Tensor) -> Tensor:
        z = torch.zeros_like(x)
        z[1 + count] = 1
        return z

    given = torch.zeros(2 + draws, *SHAPE, dtype=torch.float64)
    given[1] = 1 / sde.prior_std
    ran = run(part, sde, steps, given, noise=Stream(draw=impulse))
    found = judged_state(part, ran).numpy()
    response = found[1:] - found[0]
    mean_t, variance_t = marginal(sde, sde.at(sde.end))
    mean = found[0] + response[0] * mean_t
    variance = response[0] ** 2 * variance_t + (response[1:] ** 2).sum(axis=0)
    return _distance(mean, variance, *_target(part, sde)), ran.calls


def _by_samples(part: Part, sde: SDE, steps: int) -> tuple[float, int]:
    _, given = _start(sde, 1024)
    ran = run(part, sde, steps, given)
    x = judged_state(part, ran).numpy()
    mean, variance = _target(part, sde)
    # the spread of coordinates' estimates, 1 / n and 1 / (2 n), is taken off
    square = _distance(x.mean(axis=0), x.var(axis=0, ddof=1), mean, variance) ** 2 - 1.5 / len(x)
    return math.sqrt(max(square, 0.0)), ran.calls


def _distance(mean: Array, variance: Array, mean_: Array, variance_: Array) -> float:
    off = (mean - mean_) ** 2 / variance_ + (np.sqrt(variance / variance_) - 1) ** 2
    return float(np.sqrt(off.mean()))


def superposition(part: Part, sde: SDE) -> Iterator[Finding]:
    """A sum of starts and noises gives the sum of results, less that of nothing: it is linear as declared."""
    part = with_steps(part, 7)
    one, two = prior(2, seed=21), prior(2, seed=22)
    draws = [prior(64, seed=23), prior(64, seed=24)]

    def result(start: Tensor, weights: tuple[float, float]) -> Tensor:
        def noise(count: int, x: Tensor) -> Tensor:
            return sum((w * d[count % 64] for w, d in zip(weights, draws, strict=True)), torch.zeros_like(x))

        return run(part, sde, 7, start, noise=Stream(draw=noise)).x

    nothing = result(torch.zeros_like(one), (0.0, 0.0))
    apart = result(one, (1.0, 0.0)) + result(two, (0.0, 1.0)) - nothing
    off = float((result(one + two, (1.0, 1.0)) - apart).abs().max() / apart.abs().max())
    # float64 in some hundred operations
    yield judged("linear", off < 1e-9, f"off by {off:.1e}", "linear in state and noise, as declared", off=off)


@dataclasses.dataclass(frozen=True)
class Slope:
    """A fitted order with half its 95 % interval, and the steps it was fitted over."""

    order: float
    half: float
    first: int
    last: int


def fitted(steps: Sequence[int], errors: Sequence[float], most: float) -> Slope | None:
    """The steepest slope of ln error against ln 1/steps over any `WINDOW` neighbours, by least squares.

    Where the error is below ``most`` (before, a step is too long for an order to mean anything) and above
    1e-11 (float error). The first steps of multistep methods, of lower order, may tell at the finest grids,
    hence the steepest; a method that has not its order has it in no window.
    """
    found = []
    for i in range(len(steps) - WINDOW + 1):
        kept, low = errors[i : i + WINDOW], steps[i : i + WINDOW]
        if max(kept) < most and min(kept) > 1e-11:
            found.append(_fit(low, kept))
    return max(found, key=lambda one: one.order, default=None)


def _fit(steps: Sequence[int], errors: Sequence[float]) -> Slope:
    u, y = -np.log(steps), np.log(errors)
    slope, start = np.polyfit(u, y, 1)
    residual = float(((y - slope * u - start) ** 2).sum())
    half = T_95 * math.sqrt(residual / (WINDOW - 2) / float(((u - u.mean()) ** 2).sum()))
    return Slope(float(slope), half, steps[0], steps[-1])


def order(part: Part, sde: SDE, *, noisy: bool) -> Iterator[Finding]:
    """The measured order where a run ends at noise of the data's size; the error at the SDE's own end.

    Ended where the flow is straight, as at a small eps, errors along the run may cancel and the order come
    out too high.
    """
    name = f"convergence, {sde.name}"
    if isinstance(part, Solver) and "steps" not in part.values():
        yield from limit(part, sde)
        return
    cut, declared = middle(sde), part.convergence_order
    least = 0.5 if declared is None else declared - 0.3
    sampled = noisy and not part.linear
    steps: Sequence[int] = SAMPLED_STEPS if sampled else STEPS
    errors: list[float] = []
    for n in steps:
        errors.append(error_of(part, cut, n, noisy=noisy)[0])
        slope = fitted(steps[: len(errors)], errors, 0.1)
        if declared is not None and slope is not None and slope.order >= least:
            break  # finer steps would change nothing
    steps = steps[: len(errors)]
    last = steps[-1] if sampled else max(160, steps[-1])
    end = error_of(part, sde, last, noisy=noisy)[0]
    numbers = {"steps": list(steps), "errors": errors, "at_own_end": end, "declared": declared}
    slope = None if sampled else fitted(steps, errors, 0.1) or fitted(steps, errors, 2 * ROUGH)
    said = f"error {end:.1e} at {last} steps"
    if max(errors[-3:]) < 1e-9:
        yield judged(name, end < ROUGH, f"{said}: exact", "converges to the exact answer", **numbers)
        return
    if slope is None:
        # no order can be told: the error must be small in the end, and smaller than it was
        good = math.isfinite(end) and errors[-1] < max(0.5 * errors[0], 0.02) and end < ROUGH
        why = "sampled moments, no order" if sampled else "no order can be told"
        required = "error falls" if declared is None or sampled else f"order {declared:g}"
        yield judged(name, good and (declared is None or sampled), f"{said}; {why}", required, **numbers)
        return
    numbers |= {"order": slope.order, "half_interval": slope.half}
    said = f"order {slope.order:.2f} ± {slope.half:.2f} ({slope.first} to {slope.last} steps), {said}"
    required = "falls with the step" if declared is None else f"order {declared:g} - 0.3 or more"
    good = slope.order + min(slope.half, 0.2) >= least and end < ROUGH
    yield judged(name, good, said, f"{required}, error below {ROUGH:g}", **numbers)


def limit(part: Solver, sde: SDE) -> Iterator[Finding]:
    """A solver without steps of its own: the error at three tolerances, which must come down."""
    name = f"convergence, {sde.name}"
    tolerances = (1e-3, 1e-5, 1e-7) if "tol" in part.values() else (None,)
    errors = []
    for tol in tolerances:
        one = part if tol is None else changed(part, tol=tol)
        errors.append(error_of(one, sde, 0, noisy=False)[0])
    said = ", ".join(f"{e:.1e}" for e in errors)
    if tolerances == (None,):
        yield judged(name, errors[0] < ROUGH, f"error {said}", f"error below {ROUGH:g}", errors=errors)
        return
    falls = errors[-1] < 0.1 * errors[0] and errors[-1] < 1e-3
    yield judged(
        name, falls, f"error {said} at tolerance 1e-3, 1e-5, 1e-7", "falls with the tolerance", errors=errors
    )


@functools.cache
def _rk45(sde: SDE) -> tuple[Tensor, Tensor, int]:
    """What is given to the loop, the mixture's flow from there to eps, and RK45's network calls."""
    mean, variance = (one.mean(axis=0) for one in (truth(MIXTURE, sde).mean, truth(MIXTURE, sde).variance))
    level = sde.at(sde.end)
    x = torch.from_numpy(level.alpha * mean) + prior(2) * torch.from_numpy(
        np.sqrt(level.alpha**2 * variance + level.sigma**2)
    )
    solver = registry().build("solvers", "rk45", {"tol": 1e-9})
    ran = run(solver, sde, 0, x / sde.prior_std, model=Watched(MIXTURE, sde))
    return x / sde.prior_std, ran.x, ran.calls


def beside_rk45(part: Part, sde: SDE) -> Iterator[Finding]:
    """A deterministic sampler on the mixture, whose score is not linear, against RK45 at tolerance 1e-9."""
    cut = middle(sde)
    given, exact, calls = _rk45(cut)
    if isinstance(part, Solver) and part.ends_clean:
        level, model = cut.at(cut.eps), Watched(MIXTURE, cut)
        exact = (exact + level.sigma**2 * model.score(exact, level)) / level.alpha
    errors = []
    for n in (40, 160):
        ran = run(with_steps(part, n), cut, n, given, model=Watched(MIXTURE, cut))
        off = judged_state(part, ran) - exact
        errors.append(float((off**2).mean().sqrt() / exact.std()))
    adaptive = isinstance(part, Solver) and "steps" not in part.values()
    least = min(part.convergence_order or 1.0, 2.0) - 0.5
    # over two doublings the error falls by 4^order; a half order is left for what is not yet asymptotic
    falls = adaptive or errors[1] < 1e-6 or errors[1] < errors[0] / 4**least
    said = f"off by {errors[1]:.1e} at 160 steps, {errors[0]:.1e} at 40"
    said = f"off by {errors[1]:.1e}" if adaptive else said
    yield judged(
        f"RK45, {sde.name}", falls and errors[1] < ROUGH, said, f"nearer with more steps, below {ROUGH:g}",
        errors=errors, rk45_calls=calls,
    )  # fmt: skip


def curves(part: Part, sde: SDE, *, noisy: bool) -> Iterator[Point]:
    """Errors at the SDE's own end against network calls: the part's, and built-ins' of its kind."""
    others = ("euler_maruyama", "ancestral") if noisy else ("ddim", "heun", "dpmpp_2m")
    rivals: list[Part] = [registry().build("predictors", n, {}) for n in others if n != part.name]
    for one in [part, *rivals]:
        if isinstance(one, Solver) and "steps" not in one.values():
            values: Sequence[Any] = (1e-2, 1e-3, 1e-4, 1e-5) if "tol" in one.values() else (None,)
            tried: list[tuple[int, Part]] = [(0, changed(one, tol=v) if v else one) for v in values]
        else:
            tried = [(n, one) for n in CURVE]
        for steps, each in tried:
            try:
                found, calls = error_of(each, sde, steps, noisy=noisy)
            except Exception:  # told by the checks
                continue
            if math.isfinite(found) and found > 0:
                yield Point(one.name, sde.name, steps, calls, found)
