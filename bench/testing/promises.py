"""What a solver or predictor promises beyond runs from T to eps: other ways, other SDEs, other settings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import FlowSolver, Predictor, Solver
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.params import parameter_text
from bench.testing.context import CheckContext
from bench.testing.convergence import STEPS, is_noisy
from bench.testing.laws import mixture
from bench.testing.probe import (
    CountedNoise,
    Part,
    Tensor,
    begun,
    has_steps,
    prior,
    with_steps,
    with_tolerance,
    with_values,
)
from bench.testing.refinement import (
    FLOAT_ERROR,
    flow_case,
    flow_residual,
    impulse_residual,
    nearest,
    refined,
    size_of,
)
from bench.testing.report import Finding, guard, verdict

IN_NOISE = "flow"
"""An SDE that ends in pure noise."""
IN_NOISE_STEPS = (50, 100, 200)
"""Step counts there."""
TOLERANCE = 1e-6
"""Tolerance at which a solver of the flow is sent back."""
MOST_STEPS = 200
"""Largest number of steps at which a solver is looked for that makes as many calls as by default."""
WORSE = 1.5
"""How much larger a default's error may be than that of the same solver, refined to as many calls."""
FIXED_STEPS = 60
"""Steps at which a predictor as it is is compared with one that makes further moves within each."""
HISTORY = 6
"""Steps after which a state is moved: the longest history of the built-in methods is full."""
LEAST, MOST = 0.7, 1.5
"""What a step may leave of such a move: h / (sigma / alpha), of hundreds of steps, is some hundredths."""


def check_promises(part: Part, context: CheckContext) -> Iterator[Finding]:
    """All of them, each where it is made."""
    sde = context.sdes[0]
    if isinstance(part, FlowSolver):
        yield from guard("both ways", lambda: both_ways(part, sde, context))
    if isinstance(part, Solver) and has_steps(part) and part.converges_to == "flow":
        yield from guard("as refined", lambda: as_refined(part, sde, context))
    if isinstance(part, Predictor) and part.converges_to is not None:
        yield from guard("refined", lambda: further_moves(part, sde, context))
        yield from guard("moved state", lambda: moved_state(part, begun(sde), context))
    if isinstance(part, Predictor | Solver) and part.converges_to == "flow":
        yield from guard("start in noise", lambda: start_in_noise(part, context))


def both_ways(part: FlowSolver, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """From eps to T, as tasks take it: samples of the marginal at eps go to the same quantiles at T."""
    part = with_tolerance(part, TOLERANCE) or part  # type: ignore[assignment]
    law, z = context.law(mixture(), sde), prior(4).clamp(-3, 3)
    low, high = (law.at(sde.at(t)) for t in (sde.eps, sde.end))
    p = Prediction(context.model(mixture(), sde), sde)
    y = part.integrate(lambda t, x: p.velocity(x, t), law.states(low.quantiles(z)), sde.eps, sde.end)
    up = size_of((law.coordinates(y) - high.quantiles(z)) / high.spread)
    x = part.integrate(lambda t, x: p.velocity(x, t), law.states(high.quantiles(z)), sde.end, sde.eps)
    down = size_of((law.coordinates(x) - low.quantiles(z)) / low.spread)
    good = up < max(10 * down, TOLERANCE * 100)
    measured = f"error {up:.1e} from eps to T, {down:.1e} from T to eps"
    yield verdict("both ways", good, measured, "as exact from eps to T as from T to eps", up=up, down=down)


def as_refined(part: Solver, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """By default a solver is about as exact as `Solver.refine` makes it at the same number of calls."""
    own = part.nfe()
    if own is None:
        return
    for steps in range(1, MOST_STEPS + 1):
        try:
            twin = with_steps(part, steps)
            calls = twin.nfe()
        except Exception:  # a number of steps that it refuses, here or when its calls are counted
            continue
        if calls == own:
            break
    else:
        return
    if twin == part or context.trial(part, sde, 0, prior(1)).draws:
        return
    errors = [error_as_it_is(one, sde, context) for one in (part, twin)]
    measured = f"error {errors[0]:.1e} at {own} calls, {errors[1]:.1e} when it is refined to as many"
    good = errors[0] <= WORSE * errors[1] + FLOAT_ERROR
    yield verdict("as refined", good, measured, f"at most {WORSE:g} times as large", errors=errors)


def error_as_it_is(part: Solver, sde: SDE, context: CheckContext) -> float:
    """Error of a whole run with the solver's own number of steps, to the nearest end of the flow."""
    case = flow_case(sde, context)
    x = context.trial(part, sde, 0, case.start, whole=True).x
    return nearest(case.residuals(x, list(case.targets)))


def further_moves(part: Predictor, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """What `Predictor.refine` changes: numbers of moves, and more of them with the steps.

    What it returns is judged in place of the predictor as runs take it. So each value that it changes makes
    further calls by itself, and at some number of steps n it changes none. With p the declared order, the
    error of this predictor is at most ``2^(p + 1)`` times that of ``refine(2 n)``, in `FIXED_STEPS` steps.
    """
    finest = STEPS[-1]
    of_class, fine = type(part.refine(finest)), with_steps(part, finest)
    if fine == part and of_class is type(part):
        return
    wrong = "" if of_class is type(part) else f"refine({finest}) is of another class, {of_class.__name__}"
    values, own_calls = fine.values(), _calls(part, sde, context)
    changed = [name for name, value in part.values().items() if values[name] != value]
    for name in changed:
        setting = f"{name}={parameter_text(values[name])}"
        if isinstance(values[name], bool | str | None):
            wrong = wrong or f"{setting} is another method, not more moves"
        elif _calls(with_values(part, **{name: values[name]}), sde, context) <= own_calls:
            wrong = wrong or f"{setting} makes no further calls"
    itself = [n for n in range(1, finest) if _is_itself(part, n)]
    wrong = wrong or ("" if itself else "refine(n) changes it at every number of steps")
    errors: list[float] = []
    if not wrong and (part.linear or not is_noisy(part, sde, context)):
        twin = with_steps(part, 2 * itself[-1])
        errors = [_error_unrefined(one, sde, context) for one in (part, twin)]
        if not errors[0] <= 2 ** ((part.convergence_order or 2.0) + 1) * errors[1] + FLOAT_ERROR:
            wrong = f"error {errors[0]:.1e} as it is, {errors[1]:.1e} by refine({2 * itself[-1]})"
    listing = ", ".join(f"{name}={parameter_text(values[name])}" for name in changed)
    measured = wrong or f"judged at {listing} at {finest} steps, as its refine(n) declares"
    required = "further moves alone, and as it is about as exact as with twice as many"
    yield verdict("refined", not wrong, measured, required, errors=errors)


def _calls(part: Predictor, sde: SDE, context: CheckContext) -> int:
    """Network calls of ten steps."""
    return context.trial(part, sde, 10, prior(1)).calls


def _is_itself(part: Predictor, steps: int) -> bool:
    try:
        return with_steps(part, steps) == part
    except BenchError:
        return False  # a number of steps that it refuses


class _AsItIs:
    """A predictor at its own values, whatever the number of steps."""

    def __init__(self, part: Part) -> None:
        self.part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def refine(self, steps: int) -> _AsItIs:
        """This one."""
        del steps
        return self


def _error_unrefined(part: Part, sde: SDE, context: CheckContext) -> float:
    """Error at eps in `FIXED_STEPS` steps, with no further moves than the part's own."""
    own: Any = _AsItIs(part)
    if is_noisy(part, sde, context):
        return nearest(impulse_residual(own, sde, context, "polynomial")(FIXED_STEPS))
    return nearest(flow_residual(own, sde, context, "polynomial", whole=False)(FIXED_STEPS))


def moved_state(part: Predictor, sde: SDE, context: CheckContext) -> Iterator[Finding]:
    """A predictor with a history goes on from the state that it gets, which a corrector may have moved.

    After `HISTORY` short steps a state moved by d moves the next one by about d. ``<d', d> / <d, d>`` is 1 in
    the limit, 4 / 3 of a method that weighs two states, and 0 of one that keeps a state of its own.
    """
    law, z = context.law(mixture(), sde), prior(2)
    for steps in STEPS[::-1]:
        start = law.states(law.at(sde.at(sde.end)).quantiles(z))
        try:
            share = _share_of_move(part.resolve(sde), sde, steps, start, context)
        except BenchError:
            continue  # a sampler may refuse a number of steps
        if share is not None:
            measured = f"moved, a state moves the next by {share:.2f} of that"
            yield verdict(
                "moved state", LEAST < share < MOST, measured, f"{LEAST} to {MOST} of it", share=share
            )
        return


def _share_of_move(part: Predictor, sde: SDE, steps: int, x: Tensor, context: CheckContext) -> float | None:
    """``<d', d> / <d, d>`` after `HISTORY` of so many steps; None without a history."""
    p, noise, state = Prediction(context.model(mixture(), sde), sde), CountedNoise(), None
    *before, last = context.sampler(part, sde, steps).schedule()[: HISTORY + 1]
    with torch.no_grad():
        for step in before:
            x, _, state = part.step(x, step, p, noise, state)
            if state is None:
                return None
        move = 0.1 * last.sigma * prior(len(x), seed=9)
        one, other = (part.step(y, last, p, CountedNoise(8), state).x for y in (x, x + move))
    return float(((other - one) * move).sum() / move.square().sum())


def start_in_noise(part: Predictor | Solver, context: CheckContext) -> Iterator[Finding]:
    """A part that declares a limit at alpha = 0 starts there: finite, and to the flow's end."""
    sde = context.sde(IN_NOISE)
    if any(one.ends_in_noise for one in context.sdes) or not part.starts_in_noise(sde):
        return
    name = f"start in noise, {sde.name}"
    residual = flow_residual(part, sde, context, "polynomial", whole=True)
    if isinstance(part, Solver) and not has_steps(part):
        error = nearest(residual(0))
    elif context.trial(part, sde, 20, prior(1)).draws:
        return
    else:
        error = refined(residual, IN_NOISE_STEPS).errors[-1]
    good = math.isfinite(error) and error < 0.3
    yield verdict(name, good, f"error {error:.1e}", "finite, and to the flow's end, below 0.3", error=error)
