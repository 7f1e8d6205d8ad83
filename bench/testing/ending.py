"""Whether a run's last step, with its denoising, takes the noise of eps away."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bench.diffusion.roles import Solver
from bench.errors import BenchError
from bench.testing.context import CheckContext
from bench.testing.cost import is_heavy
from bench.testing.laws import point
from bench.testing.probe import Part, prior, with_steps
from bench.testing.report import Finding, verdict

STEPS = (20, 25)
SOLVER_STEPS, HEAVY_STEPS = (200,), (40,)
SHARE = 0.75
"""What may be left of the noise at eps: half of it is what an Euler step of the flow over sigma^2 leaves."""
LEVELS = 255
"""Steps of an 8-bit image; noise below half of one can't be seen."""


def noise_left(part: Part, context: CheckContext) -> Iterator[Finding]:
    """On data that is one point, what a run ends with around it is noise.

    A predictor's is measured over that of its last step's input, a solver's as it is. A run may keep `SHARE`
    of the noise at eps, all of it where the SDE has as much at t = 0, and any below half a level of 8 bits.
    """
    wrong, shares = [], []
    for sde in context.sdes:
        law, end = context.law(point(), sde), sde.at(sde.eps)
        at_zero = float(sde.sigma(np.asarray(0.0)))
        solver, low, high = isinstance(part, Solver), *sde.data_range
        start = law.at(sde.at(sde.end)).mean[0] + sde.at(sde.end).sigma * prior(4)
        solver_steps = HEAVY_STEPS if is_heavy(part, sde, context) else SOLVER_STEPS
        for steps in solver_steps if solver else STEPS:
            model = context.model(point(), sde)
            try:
                variant = with_steps(part, steps)
                trial = context.trial(variant, sde, steps, start / sde.prior_std, model=model, whole=True)
            except BenchError:
                if steps == STEPS[0]:
                    raise
                continue  # a sampler may refuse a number of steps
            rest = float((trial.x - law.mean[0]).square().mean().sqrt())
            if not solver:
                last = trial.part.last
                assert last is not None
                before = float((last[0] - last[1].alpha * law.mean[0]).square().mean().sqrt())
                rest *= end.sigma / before if before else math.inf if rest else 0.0
            allowed = max(SHARE * end.sigma, 1.05 * at_zero, (high - low) / LEVELS / 2)
            shares.append(rest / end.sigma)
            where = f"on {sde.name} at {steps} steps"
            if math.isnan(rest):
                wrong.append(f"not finite {where}: at step.last there is no noise left (sigma_next = 0)")
            elif not rest <= allowed:
                wrong.append(f"{rest / end.sigma:.2g} of it stays {where}")
    share = float(np.max(shares))
    measured = wrong[0] if wrong else f"{share:.1g} of it stays at most"
    required = f"the noise of eps taken away, to {SHARE:g} of it"
    yield verdict("noise at the end", not wrong, measured, required, shares=shares)
