"""Small data whose truth is known, on which plants are proven right or wrong without the kit."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch

from bench import SDE, Array, Corrector, MixtureModel, Model, Predictor, Sampler, Solver, Tensor
from bench.closed_form.mixture import Mixture
from bench.diffusion.prediction import Prediction
from bench.testing.probe import CountedNoise, Part
from tests.support.analytic import grid_of, sde
from tests.support.plugins import installed

SHAPE = (2, 4, 4)
CENTER, MEAN, DEVIATION = 0.5, 0.1, 0.1
"""Of the Gaussian, and of each of the mixture's components, in units of the data range from its low end."""
WEIGHTS = (0.3, 0.7)
"""Of the components at CENTER - MEAN and CENTER + MEAN in every second coordinate."""


def scaled(run: SDE, unit: Array | float) -> Array:
    """Numbers of the unit range on the SDE's own."""
    low, high = run.data_range
    return np.asarray(low + (high - low) * np.asarray(unit))


def gaussian(run: SDE, precision: torch.dtype = torch.float64) -> MixtureModel:
    """N(CENTER + MEAN, DEVIATION^2) in every coordinate."""
    low, high = run.data_range
    mean = np.broadcast_to(scaled(run, CENTER + MEAN), (1, *SHAPE)).copy()
    data = Mixture(np.ones(1), mean, np.full_like(mean, ((high - low) * DEVIATION) ** 2))
    return MixtureModel(data, "cpu", precision, color=None, range_=run.data_range)


def mixture(run: SDE, precision: torch.dtype = torch.float64) -> MixtureModel:
    """Two components, three deviations and a half apart along a diagonal of half of the coordinates."""
    low, high = run.data_range
    half = np.indices(SHAPE).sum(axis=0) % 2
    means = np.stack([scaled(run, CENTER - MEAN * half), scaled(run, CENTER + MEAN * half)])
    data = Mixture(np.array(WEIGHTS), means, np.full_like(means, ((high - low) * DEVIATION) ** 2))
    return MixtureModel(data, "cpu", precision, color=None, range_=run.data_range)


def starts(batch: int, seed: int = 1) -> Tensor:
    """Standard normal noise (batch, *SHAPE)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *SHAPE, generator=generator, dtype=torch.float64)


def samples(
    part: Part,
    model: Callable[[SDE, torch.dtype], Model] = mixture,
    *,
    law: str = "vp",
    steps: int = 12,
    batch: int = 4,
    seed: int = 3,
    grid: str = "polynomial",
    precision: torch.dtype = torch.float64,
    p: Prediction | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """A plant's samples, as a run returns them; a corrector's beside DDIM, a solver's with its own steps."""
    run = sde(law)
    p = Prediction(model(run, precision), run) if p is None else p
    start = (starts(batch) if start is None else start).to(precision)
    own, other = CountedNoise(seed), CountedNoise(seed + 1)
    if isinstance(part, Solver):
        sampler = Sampler(run, solver=part, denoise="none" if part.ends_clean else "tweedie")
        return sampler.run(start, p, own, other)
    predictor, corrector = (part, None) if isinstance(part, Predictor) else (ddim(), part)
    assert corrector is None or isinstance(corrector, Corrector)
    sampler = Sampler(run, predictor, corrector, steps=steps, grid=grid_of(grid))
    return sampler.run(start, p, *((other, own) if corrector is not None else (own, other)))


@functools.cache
def ddim() -> Predictor:
    """The built-in DDIM."""
    predictor: Predictor = installed().build("predictors", "ddim", {})
    return predictor


def exact_flow(run: SDE, x: Tensor) -> Tensor:
    """Where the Gaussian's flow takes states at T, denoised at eps: its quantiles stay."""
    mean, variance = float(scaled(run, CENTER + MEAN)), float(gaussian(run).data.variance.flat[0])
    for_end, for_eps = run.at(run.end), run.at(run.eps)
    at_end, at_eps = (math.sqrt(one.alpha**2 * variance + one.sigma**2) for one in (for_end, for_eps))
    quantile = (x - for_end.alpha * mean) / at_end
    return mean + for_eps.alpha * variance / at_eps * quantile
