"""Whether a sampler diverges on its SDE and grid, by what it makes of Gaussian data in closed form."""

from __future__ import annotations

import math

import numpy as np

from bench.closed_form.moments import frechet, gaussian_moments
from bench.diffusion.sampler import Sampler
from bench.results.run_spec import RunSpec

MOST_CALLS = 300
"""Network calls per sample up to which a sampler is examined: what diverges takes few steps, and a run on
Gaussian data takes as many."""
BRIGHTNESS = 0.125
"""Standard deviation of an image's mean brightness, in units of the data range."""


def divergence_note(spec: RunSpec) -> str | None:
    """A note for a run whose sampler diverges on its SDE and grid; None for others.

    Args:
        spec: The run.

    Returns:
        The note, in one line; None too where theory has no moments (`gaussian_moments`), and above
        `MOST_CALLS`.
    """
    if spec.planned_nfe is None or spec.planned_nfe > MOST_CALLS or spec.task.follows_flow:
        return None
    try:
        ratio = relative_error(spec.sampler, math.prod(spec.card.shape))
    except Exception:  # a plugin's own, which the run itself reports
        return None
    if ratio is None or ratio <= 1:
        return None
    remedy = "more steps" if spec.sampler.solver is not None else "more steps or another grid"
    return (
        f"{spec.title}: the sampler diverges here: on Gaussian data it ends {ratio:.2g} times as far from "
        f"the data as their mean is; take {remedy}"
    )


def relative_error(sampler: Sampler, pixels: int) -> float | None:
    """Distance of a sampler's result from Gaussian data, over the data's own spread, in closed form.

    The data are the mean brightness of images, the coordinate of largest variance in an orthonormal basis:
    ``N(sqrt(n) (low + high) / 2, n (BRIGHTNESS (high - low))^2)`` for n pixels. Above 1, the result is
    farther from the data than their mean is.

    Args:
        sampler: Predictor and corrector on a grid, or a solver.
        pixels: n.

    Returns:
        The root of the Fréchet distance over the standard deviation, infinite where the result overflows;
        None where theory has no moments.
    """
    low, high = sampler.sde.data_range
    mean = np.full((1, 1, 1), math.sqrt(pixels) * (low + high) / 2)
    variance = np.full((1, 1, 1), pixels * (BRIGHTNESS * (high - low)) ** 2)
    with np.errstate(all="ignore"):
        result = gaussian_moments(sampler, mean, variance)
        if result is None:
            return None
        square = frechet(*result, mean, variance) / float(variance.sum())
    return math.sqrt(square) if math.isfinite(square) else math.inf
