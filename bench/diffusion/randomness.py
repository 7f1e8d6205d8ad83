"""Whether a sampler draws noise on its way."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from bench.diffusion.levels import NoiseLevel
from bench.diffusion.model import Model
from bench.diffusion.prediction import Prediction
from bench.diffusion.sampler import Sampler

if TYPE_CHECKING:
    from torch import Tensor


MOST_STEPS = 200
"""Greatest number of steps of the run that looks for draws."""


class _StandardNormal(Model):
    """Data N(0, I), of a few coordinates."""

    shape = (1, 2, 2)

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return x / -(level.alpha**2 + level.sigma**2)

    def denoised(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return x * (level.alpha / (level.alpha**2 + level.sigma**2))

    def score_and_variance(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        return self.score(x, level), x.new_zeros(x.shape)

    def images(self, x: Tensor) -> Tensor:
        return x


class _NoiseDrawnError(Exception):
    """Ends a run at its first draw."""


def draws_noise(sampler: Sampler) -> bool:
    """Whether a sampler draws noise after the prior's.

    A solver that follows the flow draws none. Any other sampler runs on two samples of N(0, I), up to its
    first draw.

    Args:
        sampler: The sampler.

    Returns:
        False for a deterministic sampler.

    Raises:
        BenchError: The sampler can't run.
    """
    follows_flow = sampler.solver is not None and sampler.solver.follows_flow
    return not follows_flow and _draws_noise_on_normal_data(sampler)


@functools.lru_cache(maxsize=1024)
def _draws_noise_on_normal_data(sampler: Sampler) -> bool:
    import torch

    draws = 0

    def noise(x: Tensor) -> Tensor:
        del x
        nonlocal draws
        draws += 1
        raise _NoiseDrawnError

    # noise that depends on the level, such as churn, is met on a coarse grid too
    sampler = dataclasses.replace(sampler, steps=min(sampler.steps, MOST_STEPS), label_scales=None)
    model = _StandardNormal()
    generator = torch.Generator().manual_seed(0)
    prior = torch.randn((2, *model.shape), generator=generator, dtype=torch.float64)
    prediction = Prediction(model, sampler.sde, labels=None)
    try:
        with torch.no_grad():
            sampler.run(prior, prediction, noise, noise)
    except Exception:
        if not draws:
            raise
    return draws > 0
