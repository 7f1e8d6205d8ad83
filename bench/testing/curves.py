"""The curves of a sampler's plot: errors against network calls, of it and of built-in ones of its kind."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from bench.diffusion.roles import Solver
from bench.diffusion.sde import SDE
from bench.testing.context import CheckContext
from bench.testing.convergence import is_noisy
from bench.testing.cost import is_heavy
from bench.testing.laws import normals
from bench.testing.probe import Part, has_steps, prior, with_steps, with_tolerance
from bench.testing.refinement import flow_case, impulse_residual, nearest, size_of
from bench.testing.report import Point

CURVE = (5, 10, 20, 40, 100)
"""Step counts of the plot."""
HEAVY_MOST = 20
"""Most steps of a sampler whose steps are heavy."""
SAMPLES, HEAVY_SAMPLES = 256, 64
"""Samples of one that draws noise: 64 tell an error of 0.03, and 20 steps leave more."""
CURVE_TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5)
"""Tolerances of an adaptive solver's curve."""


def error_at_end(
    part: Part, sde: SDE, steps: int, context: CheckContext, *, noisy: bool
) -> tuple[float, int]:
    """Relative error of a whole run on normals, and its network calls.

    Without noise: of each sample, to the flow's end on the mixture. With noise: of means and deviations;
    exactly, by unit impulses, where the sampler is linear, else of `SAMPLES` of it.
    """
    variant = with_steps(part, steps)
    if not noisy:
        case = flow_case(sde, context)
        run = context.trial(variant, sde, steps, case.start, whole=True)
        return nearest(case.residuals(run.x, list(case.targets))), run.calls
    if part.linear:
        calls = context.trial(variant, sde, steps, prior(1)).calls
        return nearest(impulse_residual(variant, sde, context, "polynomial")(steps)), calls
    law = context.law(normals(), sde)
    samples = HEAVY_SAMPLES if is_heavy(part, sde, context) else SAMPLES
    start = law.at(sde.at(sde.end)).quantiles(prior(samples)) / sde.prior_std
    trial = context.trial(variant, sde, steps, start, model=context.model(normals(), sde), whole=True)
    x, calls = trial.x, trial.calls
    mean, deviation = (x.mean(0) - law.mean[0]) / law.spread, x.std(0) / law.spread - 1
    # less what the estimates themselves scatter: 1 / n of means and 1 / (2 n) of deviations
    return math.sqrt(max(size_of(torch.stack([mean, deviation])) ** 2 - 0.75 / len(x), 0.0)), calls


def curves(part: Part, sde: SDE, context: CheckContext) -> Iterator[Point]:
    """Errors of whole runs against network calls: the part's, and built-in ones' of its kind."""
    noisy = is_noisy(part, context.sdes[0], context)
    names = ("euler_maruyama", "ancestral") if noisy else ("ddim", "heun", "dpmpp_2m")
    others: list[Part] = [context.predictor(name) for name in names if name != part.name]
    for sampler in [part, *others]:
        heavy = is_heavy(sampler, sde, context)
        for steps, variant in _variants(sampler):
            if heavy and steps > HEAVY_MOST:
                continue
            try:
                error, calls = error_at_end(variant, sde, steps, context, noisy=noisy)
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
