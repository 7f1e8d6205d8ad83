"""Every predictor's exact error on Gaussian data falls at order one, to the limit theory names."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from bench import (
    Array,
    MixtureModel,
    Model,
    NoiseLevel,
    Prediction,
    Sampler,
    Tensor,
    dct_data,
    from_dct,
    to_dct,
)
from bench.checkpoints.load import load_model
from bench.closed_form.moments import moments
from tests.support.analytic import SDES, sde
from tests.support.plugins import installed

# The grid's eps is fixed, and so is VE's floor sigma_min: what lies below them stays unresolved however
# many the steps. The published chain moreover takes beta at i/(N-1) but the score at eps + (1-eps) i/(N-1).
# Each adds a constant to the error, which cancels in the differences below; a small eps and variances
# far above sigma_min^2 = 1e-4 keep it small for the limit, which is judged by itself.
EPS = 1e-5
MU = np.array([1.0, -0.5, 2.0, 0.3, -1.0])
LAM = np.array([0.05, 0.3, 1.0, 4.0, 10.0])

PREDICTORS = ("ancestral", "euler_maruyama", "probability_flow", "reverse_diffusion")
# vp_cosine steps from one of its 4000 scales to another: it has no limit of many steps
LAWS = tuple(s for s in SDES if s != "vp_cosine")
# on dx = 25^t dw the variance starts from zero in proportion to t: see `test_ancestral_from_no_noise`
CASES = [(s, p) for s in LAWS for p in PREDICTORS if (s, p) != ("ve_exp", "ancestral")]
# exact at any number of steps: see `test_ancestral_is_exact_in_the_mean_on_exact_transitions`
EXACT = ("subvp", "ancestral", "means")
HALVES = [c for c in ((s, p, h) for s, p in CASES for h in ("means", "deviations")) if c != EXACT]
# VE steps by ln(5000)/N in ln sigma; Euler-Maruyama starts from the prior, a variance of 2500 that it
# contracts by (1 - 17/N) where the exact factor is exp(-17/N), so its asymptote begins later
STEPS = {("ve", "euler_maruyama"): 8000}


def result(name: str, predictor: str, steps: int) -> Array:
    """Means and standard deviations, minus the data's."""
    chosen = Sampler(sde(name, eps=EPS), installed().build("predictors", predictor, {}), steps=steps)
    mean, variance = moments(chosen, MU, LAM)
    return np.concatenate([mean - MU, np.sqrt(variance) - np.sqrt(LAM)])


@pytest.mark.parametrize(("name", "predictor", "half"), HALVES)
def test_order_one(name: str, predictor: str, half: str) -> None:
    steps = STEPS.get((name, predictor), 500)
    part = slice(0, 5) if half == "means" else slice(5, 10)
    errors = [result(name, predictor, steps * k)[part] for k in (1, 2, 4)]
    first, second = (float(np.linalg.norm(a - b)) for a, b in pairwise(errors))
    assert abs(math.log2(first / second) - 1) < 0.15


def test_ancestral_is_exact_in_the_mean_on_exact_transitions() -> None:
    """E[x_{i-1} | x_i] of the exact transition is what the step's mean is: no error at any N.

    Its variance is off at order one, since the posterior noise is that of known x_0.
    """
    for name in ("subvp", "ve_exp"):
        few, many = (result(name, "ancestral", n)[:5] for n in (30, 3000))
        assert np.abs(few - many).max() < 1e-9


def test_ancestral_from_no_noise() -> None:
    """Near t = 0 a step takes the variance from i/N to (i-1)/N, and the posterior noise, that of known x_0,
    is short of it by the share 1/i: the errors of all steps sum to ln(N) / N, which doubling N shows as
    equal increments of N times the deviations' error. The grid begins at eps in place of zero, which
    bends the line by about N eps: 4 % here.
    """
    law = sde("ve_exp", eps=EPS)
    v = LAM + law.at(1.0).sigma ** 2
    limit = np.sqrt(LAM + (LAM / v) ** 2 * (law.prior_std**2 - v)) - np.sqrt(LAM)
    short = [n * (limit - result("ve_exp", "ancestral", n)[5:]) for n in (1000, 2000, 4000)]
    first, second = (b - a for a, b in pairwise(short))
    assert (first > 0).all()
    np.testing.assert_allclose(second, first, rtol=0.1)


@pytest.mark.parametrize(("name", "predictor"), CASES)
def test_limit(name: str, predictor: str) -> None:
    """The limit of many steps is the reverse process from the prior N(0, P) instead of the true N(am, v).

    With a = alpha(1), v = a^2 lam + sigma(1)^2 the reverse SDE takes E[x(0)] to m + (a lam / v)(0 - am)
    and the variance to lam + (a lam / v)^2 (P - v); the flow maps both by sqrt(lam / v). What
    is left: ending on the mean at sigma_min takes about sigma_min^2 = 1e-4 from VE's variances, 0.1% of
    the deviation at lam = 0.05; eps = 1e-5 and the 1/N^2 of the extrapolation come to 0.03%.
    """
    law = sde(name, eps=EPS)
    end = law.at(1.0)
    v = end.alpha**2 * LAM + end.sigma**2
    if predictor == "probability_flow":
        mean, variance = MU * (1 - end.alpha * np.sqrt(LAM / v)), law.prior_std**2 * LAM / v
    else:
        gain = end.alpha * LAM / v
        mean, variance = MU - gain * end.alpha * MU, LAM + gain**2 * (law.prior_std**2 - v)
    steps = STEPS.get((name, predictor), 1000)
    extrapolated = 2 * result(name, predictor, 2 * steps) - result(name, predictor, steps)
    expected = np.concatenate([mean - MU, np.sqrt(variance) - np.sqrt(LAM)])
    spread = np.concatenate([np.sqrt(LAM), np.sqrt(LAM)])
    assert (np.abs(extrapolated - expected) / spread).max() < 0.002


class OfPixels(Model):
    """An exact checkpoint whose states are pixels, by the one whose states are DCT coefficients."""

    def __init__(self, model: MixtureModel, color: Array) -> None:
        self.model, self.color, self.shape = model, color, model.shape

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return from_dct(self.model.score(to_dct(x, self.color), level), self.color)

    def images(self, x: Tensor) -> Tensor:
        low, high = self.model.range
        return (x - low) / (high - low)

    def states(self, images: Tensor) -> Tensor:
        low, high = self.model.range
        return images * (high - low) + low


@pytest.mark.parametrize("law", ["ve", "vp"])
def test_clipping_acts_on_pixels_whatever_the_states_are(law: str) -> None:
    card, chosen = installed().get("checkpoints", "gaussian-cifar10").thing, sde(law)
    _, color = dct_data(card)
    model = load_model(card, chosen, torch.device("cpu"), installed(), dtype=torch.float64)
    assert isinstance(model, MixtureModel)
    of_pixels = OfPixels(model, color)
    predictor = installed().build("predictors", "ancestral", {"clip": True})
    step = Sampler(chosen, predictor, steps=100).schedule()[60]
    pixels = torch.randn(4, *model.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pixels *= 4 * math.hypot(step.alpha, step.sigma)
    one = predictor.step(to_dct(pixels, color), step, Prediction(model, chosen), torch.zeros_like, None)
    other = predictor.step(pixels, step, Prediction(of_pixels, chosen), torch.zeros_like, None)
    # the card's rotation of colors is orthogonal to the digits of float32
    torch.testing.assert_close(model.images(one.mean), of_pixels.images(other.mean), rtol=0, atol=1e-6)
    clean = of_pixels.images(Prediction(of_pixels, chosen).denoised(pixels, step))
    beyond = (clean < 0) | (clean > 1)
    assert 0.01 < float(beyond.double().mean()) < 0.99  # there is something to clip, and to leave
