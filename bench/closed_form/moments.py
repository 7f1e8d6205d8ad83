"""Exact moments of a sampler's result on Gaussian data.

A Gaussian with independent coordinates stays one under every linear sampler: each step maps mean and
variance per coordinate by a recursion, so that the Fréchet distance of a sampler's result is known
without sampling noise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bench.closed_form.mixture import Answer, Mixture, MixtureModel
from bench.diffusion.levels import NoiseLevel, Step
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import LangevinLike, LinearPredictor
from bench.diffusion.sampler import Sampler
from bench.types import Array

if TYPE_CHECKING:
    from torch import Tensor


def expected_norm(mean: Array, variance: Array) -> float:
    """E|y| of y ~ N(mean, diag(variance)), by the second-order expansion of the root.

    With q = |y|^2: ``E sqrt(q) = sqrt(E q) (1 - Var q / (8 (E q)^2))``, where ``E q = sum(v + m^2)``
    and ``Var q = sum(2 v^2 + 4 m^2 v)``. The remainder is of second order in 1 / dimension.
    """
    q = float(np.sum(variance + mean**2))
    spread = float(np.sum(2 * variance**2 + 4 * mean**2 * variance))
    return math.sqrt(q) * (1 - spread / (8 * q**2))


def recursive(sampler: Sampler) -> bool:
    """Whether `moments` applies to the sampler."""
    predictor, corrector = sampler.predictor, sampler.corrector
    if not isinstance(predictor, LinearPredictor) or not predictor.linear:
        return False
    return corrector is None or corrector.calls == 0 or isinstance(corrector, LangevinLike)


def responsive(sampler: Sampler) -> bool:
    """Whether `response_moments` applies to the sampler."""
    part, corrector = sampler.solver or sampler.predictor, sampler.corrector
    return part is not None and part.linear and (corrector is None or corrector.calls == 0)


def gaussian_moments(
    sampler: Sampler, mean: Array, variance: Array, answer: Answer | None = None
) -> tuple[Array, Array] | None:
    """Mean and variance per coordinate of the sampler's result on Gaussian data; None where theory has none.

    Arrays of one shape.
    """
    if recursive(sampler):
        return moments(sampler, mean, variance, answer)
    if responsive(sampler):
        return response_moments(sampler, mean, variance, answer)
    return None


def limit_moments(
    sampler: Sampler, mean: Array, variance: Array, answer: Answer | None = None
) -> tuple[Array, Array] | None:
    """As `gaussian_moments`, what the moments of a solver's result tend to as its tolerance falls.

    None where the sampler follows no flow, where its own moments are known, and where the score is not exact
    at every level (``answer``).
    """
    follows_flow = sampler.solver is not None and sampler.solver.follows_flow
    if not follows_flow or responsive(sampler) or answer is not None:
        return None
    return flow_moments(sampler, mean, variance)


def moments(
    sampler: Sampler, mean: Array, variance: Array, answer: Answer | None = None
) -> tuple[Array, Array]:
    """Mean and variance per coordinate of the sampler's result on Gaussian data; arrays of one shape.

    With v = alpha^2 variance + sigma^2, the score is ``(alpha mean - x) / v``, so that a step
    ``x' = a x + b score + c z`` maps ``m' = A m + b alpha mean / v`` and ``s' = A^2 s + c^2`` with
    ``A = a - b / v``. A Langevin step has (a, b, c) = (1, e, sqrt(2 e)); where e depends on the
    batch's norms, their expectations take their place. At 3072 dimensions the variances' mean ratio to
    sampled ones is one within 1e-3, down to batches of one (results/reference/langevin_expectation.csv).
    Where alpha is 0 at T, the first step may be DDIM's limit; with AFS, on [-1, 1], its score is that of
    `NegligibleData`. Under an `Answer`, v and alpha are those of the level that it names, and its factor
    multiplies b.
    """
    m, s = np.zeros_like(mean), np.full_like(variance, sampler.sde.prior_std**2)
    noise_norm = expected_norm(np.zeros_like(mean), np.ones_like(variance))
    labels = sampler.labels()

    def score_level(level: NoiseLevel) -> tuple[NoiseLevel, float]:
        """The level whose score the checkpoint returns, and the factor of that score."""
        level = level if labels is None or level.index is None else labels[level.index]
        return (level, 1.0) if answer is None else answer(level)

    def move(level: NoiseLevel, a: float, b: float, c: float) -> tuple[Array, Array, Array]:
        """Mean, variance, and the variance without the move's own noise."""
        level, scale = score_level(level)
        v, b = level.alpha**2 * variance + level.sigma**2, b * scale
        factor = a - b / v
        noiseless = factor**2 * s
        return factor * m + b * level.alpha * mean / v, noiseless + c**2, noiseless

    def start(step: Step) -> tuple[Array, Array, Array]:
        """DDIM's limit at alpha = 0: ``alpha' mean + sigma' x / sigma``, as the mean is the expected data."""
        factor = step.sigma_next / step.sigma
        variance_next = factor**2 * s
        return factor * m + step.alpha_next * mean, variance_next, variance_next

    def analytic(step: Step, a: float, b: float, c: float) -> tuple[Array, Array, Array]:
        """AFS: the score is ``-x / (sigma sqrt(alpha^2 + sigma^2))``."""
        factor = a - b / (step.sigma * math.hypot(step.alpha, step.sigma))
        variance_next = factor**2 * s
        return factor * m, variance_next + c**2, variance_next

    def correct(step: Step) -> tuple[Array, Array, Array]:
        assert isinstance(sampler.corrector, LangevinLike)
        level, scale = score_level(step)
        v = level.alpha**2 * variance + level.sigma**2
        score_norm = scale * expected_norm((level.alpha * mean - m) / v, s / v**2)
        e = sampler.corrector.size(step, noise_norm, score_norm)
        return move(step, 1.0, e, math.sqrt(2 * e))

    schedule = sampler.schedule()
    moves = sampler.corrector.calls if sampler.corrector is not None else 0
    noiseless = s
    for done, step in enumerate(schedule, 1):
        if sampler.order == "corrector_first":
            for _ in range(moves):
                m, s, noiseless = correct(step)
        assert isinstance(sampler.predictor, LinearPredictor)
        if step.alpha == 0 and sampler.starts_by_limit:
            m, s, noiseless = start(step)
        elif sampler.afs and done == 1:
            m, s, noiseless = analytic(step, *sampler.predictor.coefficients(step))
        elif not sampler.predictor.idle:
            m, s, noiseless = move(step, *sampler.predictor.coefficients(step))
        if sampler.order == "predictor_first" and done < len(schedule):
            for _ in range(moves):
                m, s, noiseless = correct(schedule[done])
    if sampler.denoise == "mean":
        return m, noiseless
    if sampler.denoise == "tweedie":
        level = sampler.sde.at(sampler.sde.eps)
        m, s, _ = move(level, 1 / level.alpha, level.sigma**2 / level.alpha, 0.0)
    return m, s


def response_moments(
    sampler: Sampler, mean: Array, variance: Array, answer: Answer | None = None
) -> tuple[Array, Array]:
    """As `moments`, for any sampler that is linear in state and noises, by running it on unit impulses.

    Per coordinate its result is ``b + A x_T + sum_k c_k z_k`` over the draws z_k of noise. One batch gives
    them all: a row of zeros b, a row that starts from x_T = 1 A, and a row for each draw with only it at 1.
    """
    import torch

    data = Mixture(np.ones(1), mean[None], variance[None])
    model = MixtureModel(data, "cpu", torch.float64, color=None, range_=(0.0, 1.0), answer=answer)
    labels = sampler.labels() if sampler.solver is None else None
    draws = 0

    def zeros(x: Tensor) -> Tensor:
        nonlocal draws
        draws += 1
        return torch.zeros_like(x)

    def impulse(x: Tensor) -> Tensor:
        z = zeros(x)
        z[1 + draws] = 1
        return z

    def run(prior: Tensor, noise: Noise) -> Tensor:
        return sampler.run(prior, Prediction(model, sampler.sde, labels=labels), noise, noise)

    with torch.no_grad():
        run(torch.zeros(1, *mean.shape, dtype=torch.float64), zeros)
        prior = torch.zeros(2 + draws, *mean.shape, dtype=torch.float64)
        prior[1] = 1
        draws = 0
        x = run(prior, impulse).numpy()
    return x[0], ((x[1:] - x[0]) ** 2).sum(axis=0)


def flow_moments(sampler: Sampler, mean: Array, variance: Array) -> tuple[Array, Array]:
    """As `moments`, for the probability flow without error from the prior to eps.

    A Gaussian's flow moves every quantile with its marginal: ``x(eps) = alpha_eps mean + sqrt(v_eps / v_T)
    (x(T) - alpha_T mean)``. A solver tends to it as its tolerance falls.
    """
    sde = sampler.sde
    low, high = sde.at(sde.eps), sde.at(sde.end)
    v_low, v_high = (level.alpha**2 * variance + level.sigma**2 for level in (low, high))
    m = low.alpha * mean - np.sqrt(v_low / v_high) * high.alpha * mean
    s = v_low / v_high * sde.prior_std**2
    if sampler.denoise == "tweedie":
        # (x + sigma^2 score) / alpha with the score (alpha mean - x) / v
        factor = 1 - low.sigma**2 / v_low
        m = (factor * m + low.sigma**2 * low.alpha * mean / v_low) / low.alpha
        s = (factor / low.alpha) ** 2 * s
    return m, s


def frechet(mean: Array, variance: Array, mean_: Array, variance_: Array) -> float:
    """Fréchet distance between Gaussians with diagonal covariances: ``sum (m - m')^2 + (sd - sd')^2``."""
    return float(np.sum((mean - mean_) ** 2) + np.sum((np.sqrt(variance) - np.sqrt(variance_)) ** 2))
