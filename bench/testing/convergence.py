"""Whether a sampler converges to the exact answer, how fast, and how it compares with the built-in ones.

A deterministic sampler is held, sample by sample, to the flow of a mixture in every coordinate, which
quantiles give to the last bit; one that draws noise to the moments of normals, exactly, by unit impulses,
where it is linear, and to the mixture's law (`bench.testing.distribution`). Runs start from the exact
marginal at T, so that the prior's mismatch is no error.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence

import torch

from bench.diffusion.grid import Grid
from bench.diffusion.roles import Predictor, Solver
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.params import parameter_text
from bench.testing.context import CheckContext
from bench.testing.cost import is_heavy
from bench.testing.distribution import HEAVY_SMALL_STEPS, SMALL_BATCH, check_law
from bench.testing.laws import normals
from bench.testing.probe import (
    CountedNoise,
    Part,
    Tensor,
    has_steps,
    history_of,
    other_settings,
    prior,
    with_steps,
    with_tolerance,
    with_values,
)
from bench.testing.refinement import (
    FLOAT_ERROR,
    UNEVEN,
    Refinement,
    Residual,
    asymptote,
    flow_case,
    flow_residual,
    impulse_residual,
    nearest,
    refined,
    size_of,
    step_errors,
)
from bench.testing.report import Finding, guard, verdict

STEPS = (10, 20, 40, 125, 250, 500)
"""Step counts of a refinement. They divide 1000, which tables of 1000 levels ask for; one is odd."""
UNEVEN_STEPS = (40, 100, 250, 500)
"""Step counts on the uneven grid: even ones, so that its pattern is the same."""
END_STEPS, EVEN_STEPS = (125, 250, 500), (100, 250, 500)
"""Step counts at which errors must tend to zero, the last twice the one before; for who takes even ones."""
LOCAL_STEPS = (100, 200)
"""Step counts at which single steps are measured."""
OTHER_STEPS = (37, 47, 1000)
"""Step counts of a second look on the first SDE: primes, and that of the published tables."""
ROUGH = 0.3
"""Largest relative error at the finest steps: the roughest of sound methods stays below it."""
SLACK = 0.3
"""What a measured order may lack."""
TOLERANCES = (1e-3, 1e-5, 1e-7)
"""Tolerances at which an adaptive solver's error must fall."""


def check_convergence(part: Part, context: CheckContext) -> Iterator[Finding]:
    """Limit and order on every SDE, whole runs, every parameter at another value."""
    first = context.sdes[0]
    noisy = is_noisy(part, first, context)
    if part.linear:
        yield from guard("linear", lambda: superposition(part, first, context))
    if part.converges_to is None:
        yield Finding("convergence", "info", "declared to converge to nothing (converges_to is None)")
    else:
        orders: list[float] = []
        for sde in context.sdes:
            yield from of_sde(part, sde, context, orders, noisy=noisy)
        if orders and part.convergence_order is not None:
            yield from declared(min(orders), part.convergence_order)
        for name, value in other_settings(part):
            if name in resolution(part):
                continue
            setting, variant = f"{name}={parameter_text(value)}", with_values(part, **{name: value})
            check = functools.partial(of_parameter, variant, setting, context)
            yield from guard(f"at {setting}", check)
            if variant.linear:
                bend = functools.partial(superposition, variant, first, context, f"linear at {setting}")
                yield from guard(f"linear at {setting}", bend)


def is_noisy(part: Part, sde: SDE, context: CheckContext) -> bool:
    """Whether the part draws noise in a hundred steps: of fewer none may lie where it does.

    Where steps are heavy, in as few as its law is looked at in; ten are tried first.
    """

    def noisy() -> bool:
        counts = (10, HEAVY_SMALL_STEPS[0]) if is_heavy(part, sde, context) else (100,)
        trials = (context.trial(with_steps(part, steps), sde, steps, prior(1)) for steps in counts)
        return any(trial.draws > 0 for trial in trials)

    draws: bool = context.once(("noisy", part, sde), noisy)
    return draws


def of_sde(
    part: Part, sde: SDE, context: CheckContext, orders: list[float], *, noisy: bool
) -> Iterator[Finding]:
    """What a sampler must show on one SDE; the orders that are measured are added to ``orders``."""
    name, errors = f"convergence, {sde.name}", dict[int, float]()
    to_flow = part.converges_to == "flow" and not noisy
    if isinstance(part, Solver) and not has_steps(part):
        if to_flow:
            yield from guard(name, lambda: limit(part, sde, context))
    elif to_flow or (noisy and part.linear):
        yield from guard(name, lambda: order(part, sde, context, orders, noisy=noisy, errors=errors))
        if isinstance(part, Predictor):
            uneven = lambda: order(part, sde, context, orders, noisy=noisy, grid=UNEVEN)  # noqa: E731
            yield from guard(f"uneven steps, {sde.name}", uneven)
        if sde is context.sdes[0] and errors:
            yield from guard(
                f"other step counts, {sde.name}",
                lambda: other_counts(part, sde, context, errors, noisy=noisy),
            )
    if to_flow and isinstance(part, Predictor) and sde is context.sdes[0]:
        yield from guard(f"one step, {sde.name}", lambda: one_step(part, sde, context))
    if to_flow:
        yield from guard(f"whole run, {sde.name}", lambda: whole_run(part, sde, context))
    else:
        yield from guard(f"law, {sde.name}", lambda: check_law(part, sde, context))


def resolution(part: Part) -> set[str]:
    """Parameters of a solver that decide how fine its steps are: those of `Solver.refine`, and tolerances."""
    if not isinstance(part, Solver):
        return set()
    coarse, fine = with_steps(part, 20).values(), with_steps(part, 40).values()
    return {name for name in coarse if coarse[name] != fine[name]} | {
        parameter.name for parameter in part.parameters() if parameter.flag == "tol"
    }


def order(
    part: Part,
    sde: SDE,
    context: CheckContext,
    orders: list[float],
    *,
    noisy: bool,
    grid: str | Grid = "polynomial",
    errors: dict[int, float] | None = None,
) -> Iterator[Finding]:
    """The order at the finest steps where a run ends at noise of the data's size; errors must keep falling.

    Where the flow is straight, as at a small eps, errors along the run may cancel and the order come out too
    high: hence the earlier end. A floor, an error that steps do not lower, shows in the order at the finest.
    The errors are added to ``errors``, by number of steps.
    """
    uneven = grid is UNEVEN
    name = f"{'uneven steps' if uneven else 'convergence'}, {sde.name}"
    cut, steps = context.middle(sde), UNEVEN_STEPS if uneven else STEPS
    residual = (
        impulse_residual(part, cut, context, grid)
        if noisy
        else flow_residual(part, cut, context, grid, whole=False)
    )
    runs = refined(residual, steps)
    by_steps = dict(zip(runs.steps, runs.errors, strict=True))
    if errors is not None:
        errors.update(by_steps)
    measured_order, last_error = runs.order, runs.errors[-1]
    promise = part.convergence_order
    if uneven and part.smooth_grids and promise is not None:
        promise = min(promise, 1.0)
    lowest = 0.5 if promise is None else promise - SLACK
    last = f"error {last_error:.1e} at {runs.steps[-1]} steps"
    numbers: dict[str, float | Sequence[float] | None] = {
        "steps": list(runs.steps), "errors": runs.errors, "order": measured_order,
        "declared": part.convergence_order,
    }  # fmt: skip
    if measured_order is None or last_error < FLOAT_ERROR:
        yield verdict(
            name, last_error < FLOAT_ERROR, f"{last}: exact", "converges to the exact answer", **numbers
        )
        return
    orders.append(measured_order)
    measured = f"order {measured_order:.2f} ({runs.steps[-2]} to {runs.steps[-1]} steps), {last}"
    required = "falls with the step" if promise is None else f"order {promise:g} - {SLACK:g} or more"
    good = measured_order >= lowest and last_error < ROUGH
    doubled = runs.steps[-2:] == [250, 500] and (promise is None or promise >= 1)
    if good and doubled and runs.remainder > 1.05:
        good, measured = False, f"{measured}; a part of it stays"
    elif (rise := runs.rise(promise or 1.0)) is not None:
        good, measured = False, f"{measured}; higher at {rise} steps than before"
    elif good and not noisy and measured_order < 1.5 and has_further_terms(part, cut, context):
        first_order = nearest(flow_residual(context.predictor("ddim"), cut, context, grid, whole=False)(250))
        own = runs.errors[runs.steps.index(250)] if 250 in runs.steps else nearest(residual(250))
        good = own <= 1.5 * first_order
        if not good:
            measured += f"; {own / first_order:.1f} times ddim's at 250: its further terms make it worse"
    yield verdict(name, good, measured, f"{required}, error falls to below {ROUGH:g}", **numbers)


def other_counts(
    part: Part, sde: SDE, context: CheckContext, errors: dict[int, float], *, noisy: bool
) -> Iterator[Finding]:
    """At other numbers of steps the error is below that of the next smaller number of a refinement.

    Or, where terms cancel there, below what the finest run gives back by the declared order (`asymptote`).
    A refinement's step counts are multiples of five and end at 500: a mistake at others would go unseen.
    """
    cut = context.middle(sde)
    residual = (
        impulse_residual(part, cut, context, "polynomial")
        if noisy
        else flow_residual(part, cut, context, "polynomial", whole=False)
    )
    wrong, results = [], {}
    for steps in OTHER_STEPS[:-1] if noisy else OTHER_STEPS:
        below = [n for n in errors if n < steps]
        try:
            error = nearest(residual(steps))
        except BenchError:
            continue  # a sampler may refuse a number of steps
        results[steps] = error
        bound = asymptote(max(errors), errors[max(errors)], steps, part.convergence_order or 1.0)
        if below and not error < max(errors[max(below)], FLOAT_ERROR, bound):
            wrong.append(f"error {error:.1e} at {steps} steps, {errors[max(below)]:.1e} at {max(below)}")
    if not results:
        return
    measured = ", ".join(f"{error:.1e} at {steps}" for steps, error in results.items())
    required = "errors fall at these step counts too"
    yield verdict(
        f"other step counts, {sde.name}", not wrong, wrong[0] if wrong else f"error {measured}", required
    )


def one_step(part: Predictor, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """Of a method with a history, the error of single steps from the exact flow, on the uneven grid.

    A method of order 2 or more makes errors of the third order in a step; a wrong ratio of steps makes them
    of the second, though over a run those of neighbors may cancel.
    """
    if part.smooth_grids or (part.convergence_order or 0) < 2:
        return
    if not history_of(context.trial(part, sde, 10, prior(1)).part):
        return
    coarse, fine = LOCAL_STEPS
    errors = [size_of(step_errors(part, context.middle(sde), steps, context)) for steps in LOCAL_STEPS]
    if errors[-1] < FLOAT_ERROR:
        measured, good = f"error {errors[-1]:.1e}: exact", True
    else:
        order = math.log(errors[0] / errors[1]) / math.log(fine / coarse)
        measured, good = f"order {order:.2f} ({coarse} to {fine} steps)", order >= 3 - 0.5
    yield verdict(f"one step, {sde.name}", good, measured, "order 3 - 0.5 or more", errors=errors)


def has_further_terms(part: Part, sde: SDE, context: CheckContext) -> bool:
    """Whether a predictor carries a history or calls the network more than once a step."""
    if not isinstance(part, Predictor):
        return False
    trial = context.trial(part, sde, 10, prior(1))
    return trial.calls > 10 or history_of(trial.part)


def declared(measured: float, order: float) -> Iterator[Finding]:
    """An order above the declared one on every SDE and grid is to be declared: a lost one would go unseen."""
    good = measured <= order + 0.8
    text = f"{measured:.2f} or more everywhere" + ("" if good else f": declared {order:g}, declare it")
    yield verdict("declared order", good, text, f"{order:g}, and not one more", order=measured)


def limit(part: Solver, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """A solver without a number of steps: the error at three tolerances must fall."""
    name = f"convergence, {sde.name}"
    variants = [variant for tol in TOLERANCES if (variant := with_tolerance(part, tol)) is not None]
    errors = [
        nearest(flow_residual(variant, sde, context, "polynomial", whole=False)(0))
        for variant in variants or [part]
    ]
    measured = "error " + ", ".join(f"{error:.1e}" for error in errors)
    if not variants:
        yield verdict(name, errors[0] < ROUGH, measured, f"error below {ROUGH:g}", errors=errors)
        return
    falls = errors[-1] < 0.1 * errors[0] and errors[-1] < 1e-3
    tolerances = ", ".join(f"{tol:.0e}".replace("e-0", "e-") for tol in TOLERANCES)
    yield verdict(
        name, falls, f"{measured} at tolerance {tolerances}", "falls with the tolerance", errors=errors
    )


def whole_run(part: Part, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """A whole run, its last step and denoising included: nearer to the flow's end with twice the steps.

    No part of the error may stay (`Refinement.remainder`) beyond what the choice of the end decides.
    """
    name = f"whole run, {sde.name}"
    residual = flow_residual(part, sde, context, "polynomial", whole=True)
    if isinstance(part, Solver) and not has_steps(part):
        error = nearest(residual(0))
        yield verdict(name, error < ROUGH, f"error {error:.1e}", f"below {ROUGH:g}", errors=[error])
        return
    runs = at_the_end(residual)
    errors = runs.errors
    yield verdict(
        name,
        errors[-1] < ROUGH and (runs.remainder <= 1.05 or errors[-1] < flow_case(sde, context).ambiguity),
        f"error {errors[-1]:.1e} at {runs.steps[-1]} steps, {errors[0]:.1e} at {runs.steps[0]}",
        f"tends to the flow's end, below {ROUGH:g}",
        steps=list(runs.steps),
        errors=errors,
        remainder=runs.remainder,
    )


def at_the_end(residual: Residual) -> Refinement:
    """The refinement that shows what errors tend to."""
    try:
        return refined(residual, END_STEPS)
    except BenchError:
        return refined(residual, EVEN_STEPS)


def of_parameter(part: Part, setting: str, context: CheckContext) -> Iterator[Finding]:
    """A parameter at another value: the same limit, by two numbers of steps, on the first SDE."""
    name, sde = f"at {setting}", context.sdes[0]
    if part.converges_to is None or needs_variance(part, sde, context):
        yield Finding(name, "info", "declared to converge to nothing, or needs a learned variance")
        return
    noisy = is_noisy(part, sde, context)
    if noisy and not part.linear:
        yield from check_law(part, sde, context, name=name, batch=SMALL_BATCH)
        return
    if not noisy and part.converges_to == "data":
        yield from check_law(part, sde, context, name=name, batch=SMALL_BATCH)
        return
    if isinstance(part, Solver) and not has_steps(part):
        for finding in limit(part, sde, context):
            yield dataclasses.replace(finding, name=name)
        return
    cut = context.middle(sde)
    residual = (
        impulse_residual(part, cut, context, "polynomial")
        if noisy
        else flow_residual(part, cut, context, "polynomial", whole=False)
    )
    runs = at_the_end(residual)
    promise, measured_order = part.convergence_order or 1.0, runs.order
    good = runs.errors[-1] < ROUGH and runs.remainder <= 1.05
    good &= measured_order is None or measured_order >= promise - 0.5
    measured = f"error {runs.errors[-1]:.1e} at {runs.steps[-1]} steps"
    measured += "" if measured_order is None else f", order {measured_order:.2f}"
    yield verdict(
        name, good, measured, f"order {promise:g} - 0.5 or more, no error that stays",
        errors=runs.errors, order=measured_order,
    )  # fmt: skip


def needs_variance(part: Part, sde: SDE, context: CheckContext) -> bool:
    """Whether a predictor declares that it needs a learned variance, and does not run without one."""
    if not isinstance(part, Predictor) or not part.needs_variance:
        return False
    try:
        context.trial(part, sde, 10, prior(1))
    except BenchError:
        return True
    return False


def superposition(part: Part, sde: SDE, context: CheckContext, name: str = "linear") -> Iterator[Finding]:
    """A sum of starts and noises gives the sum of results, less that of zero: it is linear as declared."""
    part, steps = with_steps(part, 8), 8
    # far out, where what clips or thresholds does so
    one, two = 10 * prior(2, seed=21), 10 * prior(2, seed=22)
    draws = [prior(64, seed=23), prior(64, seed=24)]

    def result(start: Tensor, weights: tuple[float, float]) -> Tensor:
        def noise(count: int, x: Tensor) -> Tensor:
            return sum((w * d[count % 64] for w, d in zip(weights, draws, strict=True)), torch.zeros_like(x))

        model = context.model(normals(), sde)
        return context.trial(part, sde, steps, start, noise=CountedNoise(draw=noise), model=model).x

    of_zero = result(torch.zeros_like(one), (0.0, 0.0))
    separate = result(one, (1.0, 0.0)) + result(two, (0.0, 1.0)) - of_zero
    off = float((result(one + two, (1.0, 1.0)) - separate).abs().max() / separate.abs().max())
    # float64 in some hundred operations
    yield verdict(name, off < 1e-9, f"off by {off:.1e}", "linear in state and noise, as declared", off=off)
