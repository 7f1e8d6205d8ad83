"""Models: a denoiser's score on every SDE, its data ranges, and what a model refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import BenchError, Denoiser, Model, NoiseLevel, Tensor
from bench.diffusion.model import NegligibleData
from tests.support.analytic import SDES, gaussian, sde

SHAPE = (1, 2, 2)
MEAN, VARIANCE = 0.3, 0.25
"""Of the data on [0, 1]."""


class GaussianDenoiser(Denoiser):
    """E[x0 | x0 + sigma noise] of N(MEAN, VARIANCE) images, on a range of its own."""

    def __init__(self, own_range: tuple[float, float], run_range: tuple[float, float]) -> None:
        super().__init__(SHAPE, own_range, run_range)
        low, high = own_range
        self.mean, self.variance = low + (high - low) * MEAN, (high - low) ** 2 * VARIANCE

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        return (self.variance * x + sigma**2 * self.mean) / (self.variance + sigma**2)


class Silent(Model):
    shape = SHAPE

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return torch.zeros_like(x)

    def images(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("own_range", [(0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("name", SDES)
def test_a_denoisers_score_is_the_marginals(name: str, own_range: tuple[float, float]) -> None:
    """Against the closed form on the run's range, at every noise level, whatever the denoiser's own range."""
    law = sde(name)
    low, high = law.data_range
    exact = gaussian(np.full(SHAPE, low + (high - low) * MEAN), np.full(SHAPE, (high - low) ** 2 * VARIANCE))
    model = GaussianDenoiser(own_range, law.data_range)
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).view(3, *SHAPE)
    for t in (law.eps, 0.2, 0.7, law.end):
        level = law.at(t)
        # at small noise the score is a difference of nearly equal numbers over sigma^2
        tolerance = 1e-12 + 1e-15 / level.sigma**2
        torch.testing.assert_close(model.score(x, level), exact.score(x, level), rtol=1e-9, atol=tolerance)


def test_negligible_data_are_those_of_the_papers() -> None:
    """VP: the noise is x (GENIE); alpha = 1: x / sqrt(1 + sigma^2) (AMED-Solver); each on [-1, 1]."""
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).view(3, *SHAPE)
    centered = NegligibleData(GaussianDenoiser((-1.0, 1.0), (-1.0, 1.0)), (-1.0, 1.0))
    torch.testing.assert_close(centered.noise(x, sde("vp").at(1.0)), x, rtol=1e-12, atol=0)
    noise = centered.noise(80 * x, NoiseLevel(1.0, 1.0, 80.0))
    torch.testing.assert_close(noise, 80 * x / 6401**0.5, rtol=1e-12, atol=0)
    # the same states on [0, 1]
    unit = NegligibleData(GaussianDenoiser((0.0, 1.0), (0.0, 1.0)), (0.0, 1.0))
    moved = unit.noise((80 * x + 1) / 2, NoiseLevel(1.0, 1.0, 40.0))
    torch.testing.assert_close(moved, noise, rtol=1e-12, atol=1e-14)


def test_images_and_states_are_inverse() -> None:
    model = GaussianDenoiser((0.0, 1.0), (-1.0, 1.0))
    images = torch.rand(2, *SHAPE, dtype=torch.float64)
    states = model.states(images)
    assert float(states.min()) >= -1
    torch.testing.assert_close(model.images(states), images)


def test_a_model_refuses_what_it_does_not_know() -> None:
    x, level = torch.zeros(1, *SHAPE), NoiseLevel(0.5, 1.0, 1.0)
    model = Silent()
    for ask, message in (
        (lambda: model.score_and_variance(x, level), "has no learned variance"),
        (lambda: model.score_and_divergence(x, level), "not known in closed form"),
        (lambda: model.class_gradient(x, level, torch.zeros(1, dtype=torch.int64)), "has no classifier"),
        (lambda: model.states(x), "takes no images"),
    ):
        with pytest.raises(BenchError, match=message):
            ask()
