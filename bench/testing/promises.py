"""What a solver or predictor promises beyond runs from T to eps: other ways, other SDEs, other settings."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import FlowSolver, Predictor, Solver
from bench.diffusion.sde import SDE
from bench.testing.context import CheckContext
from bench.testing.laws import mixture
from bench.testing.probe import Part, has_steps, prior, with_tolerance
from bench.testing.refinement import FLOAT_ERROR, flow_case, flow_residual, nearest, refined, size_of
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


def check_promises(part: Part, context: CheckContext) -> Iterator[Finding]:
    """All of them, each where it is made."""
    sde = context.sdes[0]
    if isinstance(part, FlowSolver):
        yield from guard("both ways", lambda: both_ways(part, sde, context))
    if isinstance(part, Solver) and has_steps(part) and part.converges_to == "flow":
        yield from guard("as refined", lambda: as_refined(part, sde, context))
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
            twin = part.refine(steps)
            calls = None if twin is None else twin.nfe()
        except Exception:  # a number of steps that it refuses, here or when its calls are counted
            continue
        if twin is not None and calls == own:
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
