"""Whether a sampler draws noise on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.diffusion.levels import NoiseLevel
from bench.diffusion.model import Model
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.sampler import Sampler

if TYPE_CHECKING:
    from torch import Tensor


class _StandardNormal(Model):
    """Data N(0, I), of a few coordinates."""

    shape = (1, 2, 2)

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return x / -(level.alpha**2 + level.sigma**2)

    def score_and_variance(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        return self.score(x, level), x.new_zeros(x.shape)

    def images(self, x: Tensor) -> Tensor:
        return x


def draws_noise(sampler: Sampler) -> bool:
    """Whether a sampler draws noise after the prior's, found by running it on two samples of N(0, I).

    Args:
        sampler: The sampler.

    Returns:
        False for a deterministic sampler.

    Raises:
        BenchError: The sampler can't run.
    """
    import torch

    draws = 0

    def counted(noise: Noise) -> Noise:
        def draw(x: Tensor) -> Tensor:
            nonlocal draws
            draws += 1
            return noise(x)

        return draw

    generator = torch.Generator().manual_seed(0)
    model = _StandardNormal()
    noise = counted(lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype))
    prior = torch.randn((2, *model.shape), generator=generator)
    with torch.no_grad():
        sampler.run(prior, Prediction(model, sampler.sde, labels=sampler.labels()), noise, noise)
    return draws > 0
