"""How a sampler asks the network: how often, through what, and at which noise levels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bench.diffusion.levels import NoiseLevel
from bench.diffusion.roles import Corrector, Predictor
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.testing.context import CheckContext
from bench.testing.cost import is_heavy
from bench.testing.probe import ObservedModel, Part, prior, with_steps
from bench.testing.report import Finding, verdict

CALL_STEPS = (1, 2, 5, 10, 25)
"""Step counts at which calls are counted; a sampler may refuse one."""
CALL_SAMPLES, HEAVY_CALL_SAMPLES = (1, 300), (1, 16)
"""Numbers of samples other than 2 of which they are counted too, and where steps are heavy."""
LABEL = 5e-4
"""What a level's time may be off, in units of T: half of the distance of 1000 trained scales."""


def calls(part: Part, context: CheckContext) -> Iterator[Finding]:
    """Calls of the network against those declared, counted by the prediction, its model and the exact model.

    The three agree unless the sampler goes round one of them, and no sampler does without the network.
    Declared calls are those of each sample, of however many.
    """
    counts: dict[int, int] = {}
    wrong, refusal = [], ""
    for steps in CALL_STEPS:
        try:
            variant = with_steps(part, steps)
            trial = context.trial(variant, context.sdes[0], steps, prior(2))
        except BenchError as error:
            refusal = str(error)
            continue
        counts[steps] = trial.calls
        declared = _declared_calls(variant, steps, context)
        if declared is not None and declared != trial.calls:
            wrong.append(f"{trial.calls} calls at {steps} steps, {declared} declared")
        if len(set(trial.counts)) > 1:
            wrong.append(
                f"the network is asked for {max(trial.counts)} states, {min(trial.counts)} through p"
            )
        if trial.calls == 0 and not getattr(part, "idle", False):
            wrong.append("the network is never called")
    if not counts:
        raise BenchError(f"it takes none of {', '.join(map(str, CALL_STEPS))} steps: {refusal}")
    steps = min(counts, key=lambda n: abs(n - 5))
    variant = with_steps(part, steps)
    if _declared_calls(variant, steps, context) is not None:
        heavy = is_heavy(part, context.sdes[0], context)
        for samples in HEAVY_CALL_SAMPLES if heavy else CALL_SAMPLES:
            of_each = context.trial(variant, context.sdes[0], steps, prior(samples)).calls
            if of_each != counts[steps]:
                wrong.append(f"{of_each} calls of each of {samples} samples, {counts[steps]} of each of 2")
    listing = f"{', '.join(map(str, counts.values()))} calls at {', '.join(map(str, counts))} steps"
    yield verdict(
        "network calls", not wrong, wrong[0] if wrong else listing, "as many as declared, all through p"
    )


def _declared_calls(part: Part, steps: int, context: CheckContext) -> int | None:
    if isinstance(part, Predictor):
        return 0 if part.idle else part.nfe(context.sampler(part, context.sdes[0], steps).schedule())
    if isinstance(part, Corrector):
        return steps * part.calls + steps  # DDIM beside it calls once a step
    return part.nfe()


def levels(part: Part, context: CheckContext) -> Iterator[Finding]:
    """Where a step calls the network at the state that it got, it passes that state's noise level.

    An index off by one here leaves the method of first order, with a larger error: no limit would show it.
    """
    wrong, count = [], 0
    for sde in context.sdes:
        trial = context.trial(part, sde, 10, prior(2))
        assert isinstance(trial.model, ObservedModel)
        for call in trial.part.steps:
            for number in call.calls:
                if number >= len(trial.model.calls):
                    continue
                x, level = trial.model.calls[number]
                if x.shape != call.x.shape or not bool((x == call.x).all()):
                    continue
                count += 1
                if not math.isclose(
                    level.sigma * call.step.alpha, level.alpha * call.step.sigma, rel_tol=1e-9
                ):
                    wrong.append(f"{sde.name}: a state of t = {call.step.t:.3g} at t = {level.t:.3g}")
    measured = wrong[0] if wrong else f"in {count} calls" if count else "no call at the state itself"
    yield verdict("network at the state's level", not wrong, measured, "the state's own noise level")


def times(part: Part, context: CheckContext) -> Iterator[Finding]:
    """Every level that the network is asked at has the time of its alpha and sigma, which labels are made of.

    An exact checkpoint reads alpha and sigma alone; a network is told t.
    """
    wrong, count = [], 0
    for sde in context.sdes:
        trial = context.trial(with_steps(part, 10), sde, 10, prior(1))
        assert isinstance(trial.model, ObservedModel)
        for _, level in trial.model.calls:
            count += 1
            t = _time_of(level, sde)
            if not abs(level.t - t) <= LABEL * sde.end:
                wrong.append(f"{sde.name}: t = {level.t:.4g} with the alpha and sigma of t = {t:.4g}")
    measured = wrong[0] if wrong else f"in {count} calls"
    yield verdict("time of a level", not wrong, measured, "that of its alpha and sigma, to 1 / 2000")


def _time_of(level: NoiseLevel, sde: SDE) -> float:
    """The time of a level's sigma / alpha."""
    if level.alpha == 0:
        return sde.end
    if level.sigma == 0:
        return 0.0
    low, high = sde.log_sigma_ratio(np.array([sde.eps, sde.end]))
    ratio = math.log(level.sigma / level.alpha)
    if math.isclose(ratio, high, abs_tol=1e-6):
        return sde.end
    return float(sde.time_at(np.array([ratio]))[0]) if ratio > low else min(level.t, sde.eps)
