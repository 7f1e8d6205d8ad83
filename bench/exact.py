"""Data distributions whose score is known in closed form, and what samplers make of them exactly.

A Gaussian with independent coordinates stays one under every linear sampler: each step maps mean and
variance per coordinate by a recursion, so the Fréchet distance that a sampler ends with is a number
free of sampling noise.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from bench.basis import from_basis, to_basis, white
from bench.sampling import LangevinLike, LinearPredictor, Noise, Sampler
from bench.score import Model, ScoreFunction
from bench.sde import Array, Level, Scale

if TYPE_CHECKING:
    from torch import Tensor, device, dtype

    from bench.checkpoints.cards import Card


@dataclasses.dataclass(frozen=True)
class Mixture:
    """``sum_k weight_k N(mean_k, diag(variance_k))``; weight (K,), mean and variance (K, *shape)."""

    weight: Array
    mean: Array
    variance: Array

    def mapped(self, gain: float, shift: Array | float) -> Mixture:
        """The distribution of ``gain x + shift``."""
        return Mixture(self.weight, gain * self.mean + shift, gain**2 * self.variance)


class MixtureModel(Model):
    """Score of a Gaussian mixture, in the coordinates in which its covariances are diagonal.

    At a level, component k is N(alpha mean_k, v_k) with ``v_k = alpha^2 variance_k + sigma^2``, and

        score(x) = sum_k r_k(x) (alpha mean_k - x) / v_k,

    r the posterior of the components. Memory: two (K, D) tables on the device.
    """

    def __init__(
        self,
        data: Mixture,
        device: device | str,
        dtype: dtype,
        *,
        colour: Array | None,
        range_: tuple[float, float],
    ) -> None:
        import torch

        self.shape = data.mean.shape[1:]
        self.data = data
        self.colour = None if colour is None else torch.from_numpy(colour).to(device, dtype)
        self.range = range_
        self.classes = count = len(data.weight)
        self._mean = torch.from_numpy(data.mean.reshape(count, -1)).to(device, dtype)
        self._variance = torch.from_numpy(data.variance.reshape(count, -1)).to(device, dtype)
        self._log_weight = torch.from_numpy(np.log(data.weight)).to(device, dtype)

    def score(self, x: Tensor, level: Level) -> Tensor:
        import torch

        precision, centre, flat = self._at(x, level)
        if len(precision) == 1:
            return torch.addcmul(centre, flat, precision, value=-1).view_as(x)
        r = torch.softmax(self._log_posterior(flat, precision, centre, level), dim=1)
        return torch.addcmul(r @ centre, flat, r @ precision, value=-1).view_as(x)

    def score_and_divergence(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """Of a mixture ``div s = sum_k r_k (div s_k + |s_k|^2) - |s|^2`` with the components' scores s_k."""
        import torch

        precision, centre, flat = self._at(x, level)
        score = self.score(x, level)
        if len(precision) == 1:
            return score, -precision.sum().expand(len(x))
        squares = (centre**2).sum(1) - 2 * flat @ (centre * precision).T + (flat**2) @ (precision**2).T
        r = torch.softmax(self._log_posterior(flat, precision, centre, level), dim=1)
        return score, (r * (squares - precision.sum(1))).sum(1) - (score.flatten(1) ** 2).sum(1)

    def log_components(self, x: Tensor, level: Level) -> Tensor:
        """``ln (weight_k p_k(x))`` of each component at a level, (B, K), in nats; x (B, *shape).

        Their log-sum-exp is the log-density of the marginal, their softmax the posterior of the components.
        """
        precision, centre, flat = self._at(x, level)
        constant = 0.5 * flat.shape[1] * math.log(2 * math.pi)
        return self._log_posterior(flat, precision, centre, level) - constant

    def component_score(self, x: Tensor, level: Level, chosen: Tensor) -> Tensor:
        """Score of one component for each row, ``chosen`` (B,) integers; x (B, *shape), result alike."""
        precision, centre, flat = self._at(x, level)
        return (centre[chosen] - flat * precision[chosen]).view_as(x)

    def class_gradient(self, x: Tensor, level: Level, labels: Tensor) -> Tensor:
        """A class is a component, so that by Bayes' rule ``grad ln p(k | x) = s_k - s``."""
        return self.component_score(x, level, labels).sub_(self.score(x, level))

    def _at(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor, Tensor]:
        """Precisions (K, D) and ``alpha mean precision`` of the components at a level; x as rows."""
        precision = (self._variance * level.alpha**2).add_(level.sigma**2).reciprocal_()
        return precision, precision * (level.alpha * self._mean), x.flatten(1)

    def draw(self, count: int, noise: Noise) -> Tensor:
        """Draws (count, *shape) of the data distribution, by a random stream."""
        import torch

        x = torch.empty((count, *self.shape), dtype=self._mean.dtype, device=self._mean.device)
        below = 0.5 * (1 + torch.erf(noise(x[:, 0, 0, 0]) / math.sqrt(2)))
        bounds = torch.softmax(self._log_weight, 0).cumsum(0)[:-1].contiguous()
        component = torch.searchsorted(bounds, below)
        z = noise(x).flatten(1)
        return torch.addcmul(self._mean[component], z, self._variance[component].sqrt()).view_as(x)

    def _log_posterior(self, flat: Tensor, precision: Tensor, centre: Tensor, level: Level) -> Tensor:
        constant = (
            self._log_weight + 0.5 * precision.log().sum(1) - 0.5 * level.alpha * (centre * self._mean).sum(1)
        )
        return flat @ centre.T - 0.5 * (flat**2) @ precision.T + constant

    def component(self, x: Tensor) -> Tensor:
        """Most likely component of clean states x (B, *shape); (B,) integers.

        Of samples that keep noise it says little: what noise is left may exceed a component's smallest
        variances, and then their sum decides.
        """
        precision = self._variance.reciprocal()
        return self._log_posterior(
            x.flatten(1), precision, precision * self._mean, Level(0.0, 1.0, 0.0)
        ).argmax(1)

    def images(self, x: Tensor) -> Tensor:
        low, high = self.range
        pixels = x if self.colour is None else from_basis(x, self.colour)
        return (pixels - low) / (high - low)

    def states(self, images: Tensor) -> Tensor:
        low, high = self.range
        pixels = images.to(self._mean.dtype) * (high - low) + low
        return pixels if self.colour is None else to_basis(pixels, self.colour)


def on_range(data: Mixture, range_: tuple[float, float], colour: Array) -> Mixture:
    """A mixture of images on [0, 1], in the DCT basis, moved to the data range of a run."""
    low, high = range_
    return data.mapped(high - low, low * white(data.mean.shape[1:], colour))


def expected_norm(mean: Array, variance: Array) -> float:
    """E|y| of y ~ N(mean, diag(variance)), by the second-order expansion of the root.

    With q = |y|^2: ``E sqrt(q) = sqrt(E q) (1 - Var q / (8 (E q)^2))``, where ``E q = sum(v + m^2)``
    and ``Var q = sum(2 v^2 + 4 m^2 v)``. The remainder is of second order in 1 / dimension.
    """
    q = float(np.sum(variance + mean**2))
    spread = float(np.sum(2 * variance**2 + 4 * mean**2 * variance))
    return math.sqrt(q) * (1 - spread / (8 * q**2))


def recursive(sampler: Sampler) -> bool:
    """Whether `moments` knows the sampler."""
    predictor, corrector = sampler.predictor, sampler.corrector
    if not isinstance(predictor, LinearPredictor) or not predictor.linear:
        return False
    return corrector is None or corrector.calls == 0 or isinstance(corrector, LangevinLike)


def responsive(sampler: Sampler) -> bool:
    """Whether `response_moments` knows the sampler."""
    part, corrector = sampler.solver or sampler.predictor, sampler.corrector
    return part is not None and part.linear and (corrector is None or corrector.calls == 0)


def gaussian_moments(sampler: Sampler, mean: Array, variance: Array) -> tuple[Array, Array] | None:
    """Mean and variance per coordinate of what ``sampler`` makes of Gaussian data, where theory knows them.

    Of an adaptive solver, what they are in the limit of no discretisation error. Arrays shaped alike.
    """
    if recursive(sampler):
        return moments(sampler, mean, variance)
    if responsive(sampler):
        return response_moments(sampler, mean, variance)
    if sampler.solver is not None and sampler.solver.follows_flow:
        return flow_moments(sampler, mean, variance)
    return None


def moments(sampler: Sampler, mean: Array, variance: Array) -> tuple[Array, Array]:
    """Mean and variance per coordinate of what ``sampler`` makes of Gaussian data; arrays shaped alike.

    With v = alpha^2 variance + sigma^2, the score is ``(alpha mean - x) / v``, so that a step
    ``x' = a x + b score + c z`` maps ``m' = A m + b alpha mean / v`` and ``s' = A^2 s + c^2`` with
    ``A = a - b / v``. A Langevin step has (a, b, c) = (1, e, sqrt(2 e)); where e depends on the
    batch's norms, these are taken at their expectation. At 3072 dimensions the variances' mean ratio to
    sampled ones is one within 1e-3, down to batches of one (results/reference/langevin_expectation.csv).
    """
    m, s = np.zeros_like(mean), np.full_like(variance, sampler.sde.prior_std**2)
    noise_norm = expected_norm(np.zeros_like(mean), np.ones_like(variance))
    labels = sampler.labels()

    def asked(level: Level) -> Level:
        return level if labels is None or level.index is None else labels[level.index]

    def step(level: Level, a: float, b: float, c: float) -> tuple[Array, Array, Array]:
        level = asked(level)
        v = level.alpha**2 * variance + level.sigma**2
        factor = a - b / v
        kept = factor**2 * s
        return factor * m + b * level.alpha * mean / v, kept + c**2, kept

    def correct(scale: Scale) -> tuple[Array, Array, Array]:
        assert isinstance(sampler.corrector, LangevinLike)
        level = asked(scale)
        v = level.alpha**2 * variance + level.sigma**2
        score_norm = expected_norm((level.alpha * mean - m) / v, s / v**2)
        e = sampler.corrector.size(scale, noise_norm, score_norm)
        return step(scale, 1.0, e, math.sqrt(2 * e))

    plan = sampler.scales()
    moves = sampler.corrector.calls if sampler.corrector is not None else 0
    clean = s
    for done, scale in enumerate(plan, 1):
        if sampler.order == "corrector_first":
            for _ in range(moves):
                m, s, clean = correct(scale)
        assert isinstance(sampler.predictor, LinearPredictor)
        if not sampler.predictor.idle:
            m, s, clean = step(scale, *sampler.predictor.coefficients(scale))
        if sampler.order == "predictor_first" and done < len(plan):
            for _ in range(moves):
                m, s, clean = correct(plan[done])
    if sampler.denoise == "mean":
        return m, clean
    if sampler.denoise == "tweedie":
        level = sampler.sde.at(sampler.sde.eps)
        m, s, _ = step(level, 1 / level.alpha, level.sigma**2 / level.alpha, 0.0)
    return m, s


def response_moments(sampler: Sampler, mean: Array, variance: Array) -> tuple[Array, Array]:
    """As `moments`, of any sampler that is linear in state and noises, by running it on unit impulses.

    Per coordinate its result is ``b + A x_T + sum_k c_k z_k`` over the draws z_k of noise. One batch finds
    them all: a row of zeros for b, one that starts from x_T = 1 for A, and one for each draw that is 1 alone.
    """
    import torch

    model = MixtureModel(
        Mixture(np.ones(1), mean[None], variance[None]), "cpu", torch.float64, colour=None, range_=(0.0, 1.0)
    )
    labels = sampler.labels() if sampler.solver is None else None
    draws = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal draws
        draws += 1
        return torch.zeros_like(x)

    def impulse(x: Tensor) -> Tensor:
        z = counted(x)
        z[1 + draws] = 1
        return z

    def run(prior: Tensor, noise: Noise) -> Tensor:
        return sampler.run(prior, ScoreFunction(model, sampler.sde, labels=labels), noise, noise)

    with torch.no_grad():
        run(torch.zeros(1, *mean.shape, dtype=torch.float64), counted)
        prior = torch.zeros(2 + draws, *mean.shape, dtype=torch.float64)
        prior[1] = 1
        draws = 0
        found = run(prior, impulse).numpy()
    return found[0], ((found[1:] - found[0]) ** 2).sum(axis=0)


def flow_moments(sampler: Sampler, mean: Array, variance: Array) -> tuple[Array, Array]:
    """As `moments`, of the probability flow followed without error from the prior to eps.

    A Gaussian's flow moves every quantile with its marginal: ``x(eps) = alpha_eps mean + sqrt(v_eps / v_T)
    (x(T) - alpha_T mean)``. What a solver tends to as its tolerance falls.
    """
    sde = sampler.sde
    low, high = sde.at(sde.eps), sde.at(sde.end)
    v_low, v_high = (level.alpha**2 * variance + level.sigma**2 for level in (low, high))
    m = low.alpha * mean - np.sqrt(v_low / v_high) * high.alpha * mean
    s = v_low / v_high * sde.prior_std**2
    if sampler.denoise == "tweedie":
        # (x + sigma^2 score) / alpha with the score (alpha mean - x) / v
        kept = 1 - low.sigma**2 / v_low
        m = (kept * m + low.sigma**2 * low.alpha * mean / v_low) / low.alpha
        s = (kept / low.alpha) ** 2 * s
    return m, s


def frechet(mean: Array, variance: Array, mean_: Array, variance_: Array) -> float:
    """Fréchet distance between Gaussians with diagonal covariances: ``sum (m - m')^2 + (sd - sd')^2``."""
    return float(np.sum((mean - mean_) ** 2) + np.sum((np.sqrt(variance) - np.sqrt(variance_)) ** 2))


def exact_fd_dct(card: Card, sampler: Sampler) -> float | None:
    """What ``fd_dct`` is in truth for ``sampler`` on a Gaussian checkpoint: images on [0, 1].

    None where theory does not know it; of an adaptive solver, its limit (`gaussian_moments`).
    """
    from bench.checkpoints.load import mixture

    data, colour = mixture(card)
    low, high = sampler.sde.data_range
    moved = on_range(data, (low, high), colour)
    found = gaussian_moments(sampler, moved.mean[0], moved.variance[0])
    if found is None:
        return None
    return frechet(*found, moved.mean[0], moved.variance[0]) / (high - low) ** 2
