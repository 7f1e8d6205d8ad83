"""Gaussian mixtures: data distributions whose score is known in closed form."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bench.closed_form.dct import from_dct, to_dct, white
from bench.diffusion.counting import count_evaluations
from bench.diffusion.levels import NoiseLevel, RowLevels
from bench.diffusion.model import Model, velocity_of_denoised
from bench.diffusion.noise import Noise
from bench.types import Array

if TYPE_CHECKING:
    from torch import Tensor, device, dtype

MOST_NUMBERS = 4_000_000
"""Numbers of a table that holds a level for each state."""
Answer = Callable[[NoiseLevel], tuple[NoiseLevel, float]]
"""``answer(level) = (trained, factor)``: asked for the score at a level, a checkpoint that was trained at
discrete noise scales returns the score at the level ``trained``, times the factor."""


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The distribution ``sum_k weight_k N(mean_k, diag(variance_k))``.

    Args:
        weight: Weights (K,) of the K components; they sum to one.
        mean: Means (K, *shape).
        variance: Variances (K, *shape) of the coordinates, which are independent within a component.
    """

    weight: Array
    mean: Array
    variance: Array

    def mapped(self, gain: float, shift: Array | float) -> Mixture:
        """The distribution of ``gain x + shift``.

        Args:
            gain: Factor.
            shift: Summand: a number, or an array that broadcasts to ``mean``.

        Returns:
            The new mixture.
        """
        return Mixture(self.weight, gain * self.mean + shift, gain**2 * self.variance)


class MixtureModel(Model):
    """Exact score of a Gaussian mixture: ``score(x) = sum_k r_k(x) (alpha mean_k - x) / v_k``.

    At a noise level, component k is N(alpha mean_k, v_k) with ``v_k = alpha^2 variance_k + sigma^2``, and
    r_k(x) is its posterior probability. Coordinates are those in which the covariances are diagonal. States
    and means of several components are taken about the mixture's mean, so that squares of what all have in
    common do not cancel. Memory: three (K, D) tables on the device, with D coordinates.

    Args:
        data: The mixture, in those coordinates and on the run's data range.
        device: Device of the tables.
        dtype: Precision of the tables and of states.
        color: Rotation (C, C) of color channels: coordinates are then those of `to_dct`. None where they
            are the data's own.
        range_: The run's data range (low, high).
        answer: The level and the factor of the score that is returned for a level; None returns the exact
            score of every level. Everything but the score and its divergence is exact at any level.
    """

    def __init__(
        self,
        data: Mixture,
        device: device | str,
        dtype: dtype,
        *,
        color: Array | None,
        range_: tuple[float, float],
        answer: Answer | None = None,
    ) -> None:
        import torch

        self.shape = data.mean.shape[1:]
        self.data = data
        self.color = None if color is None else torch.from_numpy(color).to(device, dtype)
        self.range = range_
        self.answer = answer
        self.classes = count = len(data.weight)
        mean = data.mean.reshape(count, -1)
        center = data.weight @ mean / data.weight.sum()
        self._mean = torch.from_numpy(mean).to(device, dtype)
        self._center = torch.from_numpy(center).to(device, dtype)
        self._offset = torch.from_numpy(mean - center).to(device, dtype)
        self._variance = torch.from_numpy(data.variance.reshape(count, -1)).to(device, dtype)
        self._log_weight = torch.from_numpy(np.log(data.weight)).to(device, dtype)

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        count_evaluations(len(x))
        level, factor = (level, 1.0) if self.answer is None else self.answer(level)
        score = self._score(x, level)
        return score if factor == 1 else score.mul_(factor)

    def score_of_rows(self, x: Tensor, levels: RowLevels) -> Tensor | None:
        import torch

        if self.answer is not None:
            return None
        count_evaluations(len(x))
        scores = torch.empty_like(x)
        many = max(1, MOST_NUMBERS // self._mean.numel())
        for start in range(0, len(x), many):
            part = slice(start, start + many)
            alpha, sigma = (
                torch.from_numpy(array[part]).to(x.device, x.dtype).view(-1, 1, 1)
                for array in (levels.alpha, levels.sigma)
            )
            # about the mixture's mean, (rows, K, D)
            precision = (self._variance * alpha**2).add_(sigma**2).reciprocal_()
            away = alpha * self._offset - (x[part].flatten(1) - alpha[:, 0] * self._center)[:, None]
            log = self._log_weight + 0.5 * (precision.log() - precision * away**2).sum(2)
            r = torch.softmax(log, dim=1)[:, :, None]
            scores[part] = (r * precision * away).sum(1).view_as(x[part])
        return scores

    def _score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """The exact score at a level."""
        import torch

        if self.classes == 1:
            precision = self._precision(level)
            center = precision * (level.alpha * self._mean)
            return torch.addcmul(center, x.flatten(1), precision, value=-1).view_as(x)
        precision, center, flat = self._at(x, level)
        r = torch.softmax(self._log_posterior(flat, precision, center, level), dim=1)
        return torch.addcmul(r @ center, flat, r @ precision, value=-1).view_as(x)

    def denoised(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """``E[x0 | x] = sum_k r_k (mean_k + alpha variance_k (x - alpha mean_k) / v_k)``.

        No digits are lost as alpha falls to 0, where it is the data's mean. A checkpoint with an ``answer``
        knows its score alone.

        Args:
            x: States (B, *shape).
            level: Their noise level.

        Returns:
            Clean states (B, *shape).
        """
        import torch

        if self.answer is not None:
            return super().denoised(x, level)
        count_evaluations(len(x))
        precision, center, flat = self._at(x, level)
        # about the mixture's mean: mean_k sigma^2 / v_k + x alpha variance_k / v_k
        gain = level.alpha * self._variance * precision
        base = level.sigma**2 * self._offset * precision
        if self.classes == 1:
            clean = torch.addcmul(base, flat, gain)
        else:
            r = torch.softmax(self._log_posterior(flat, precision, center, level), dim=1)
            clean = torch.addcmul(r @ base, flat, r @ gain)
        return clean.add_(self._center).view_as(x)

    def velocity(self, x: Tensor, level: NoiseLevel) -> Tensor:
        # of the score it loses digits as alpha falls to 0, of the clean data as sigma does
        if self.answer is None and level.alpha < level.sigma:
            return velocity_of_denoised(x, self.denoised(x, level), level)
        return super().velocity(x, level)

    def score_and_divergence(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        """The score s and ``div s = sum_k r_k (div s_k + |s_k|^2) - |s|^2``, with the components' scores s_k.

        Args:
            x: States (B, *shape).
            level: Their noise level.

        Returns:
            The score (B, *shape) and its divergence (B,).
        """
        count_evaluations(len(x))
        level, factor = (level, 1.0) if self.answer is None else self.answer(level)
        score, divergence = self._score_and_divergence(x, level)
        return (score, divergence) if factor == 1 else (score * factor, divergence * factor)

    def _score_and_divergence(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        """The exact score at a level and its divergence."""
        import torch

        precision, center, flat = self._at(x, level)
        score = self._score(x, level)
        if len(precision) == 1:
            return score, -precision.sum().expand(len(x))
        squares = (center**2).sum(1) - 2 * flat @ (center * precision).T + (flat**2) @ (precision**2).T
        r = torch.softmax(self._log_posterior(flat, precision, center, level), dim=1)
        return score, (r * (squares - precision.sum(1))).sum(1) - (score.flatten(1) ** 2).sum(1)

    def log_components(self, x: Tensor, level: NoiseLevel) -> Tensor:
        """``ln (weight_k p_k(x))`` of each component at a noise level.

        Their log-sum-exp is the log-density of the marginal; their softmax is the posterior of the
        components.

        Args:
            x: States (B, *shape).
            level: Their noise level.

        Returns:
            Values (B, K), in nats.
        """
        precision, center, flat = self._at(x, level)
        constant = 0.5 * flat.shape[1] * math.log(2 * math.pi)
        return self._log_posterior(flat, precision, center, level) - constant

    def component_score(self, x: Tensor, level: NoiseLevel, component: Tensor) -> Tensor:
        """``(alpha mean_k - x) / v_k``, the score of one component for each row.

        Args:
            x: States (B, *shape).
            level: Their noise level.
            component: Component k of each row (B,), integers.

        Returns:
            Scores (B, *shape).
        """
        precision, center, flat = self._at(x, level)
        return (center[component] - flat * precision[component]).view_as(x)

    def class_gradient(self, x: Tensor, level: NoiseLevel, labels: Tensor) -> Tensor:
        """``grad ln p(k | x) = s_k - s``, by Bayes' rule: each component is a class.

        Args:
            x: States (B, *shape).
            level: Their noise level.
            labels: Component k of each row (B,), integers.

        Returns:
            The gradient (B, *shape).
        """
        return self.component_score(x, level, labels).sub_(self._score(x, level))

    def _precision(self, level: NoiseLevel) -> Tensor:
        """Precisions (K, D) of the components at a level."""
        return (self._variance * level.alpha**2).add_(level.sigma**2).reciprocal_()

    def _at(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor, Tensor]:
        """Precisions (K, D) of the components at a level, ``alpha mean precision`` (K, D), and x as rows.

        Means and rows are those about the mixture's mean.
        """
        import torch

        precision = self._precision(level)
        rows = torch.sub(x.flatten(1), self._center, alpha=level.alpha)
        return precision, precision * (level.alpha * self._offset), rows

    def draw(self, count: int, noise: Noise) -> Tensor:
        """Draws of the data distribution.

        Args:
            count: Number of draws.
            noise: Random stream; the draws take two batches of noise from it.

        Returns:
            Clean states (count, *shape).
        """
        import torch

        x = torch.empty((count, *self.shape), dtype=self._mean.dtype, device=self._mean.device)
        below = 0.5 * (1 + torch.erf(noise(x.flatten(1)[:, 0]) / math.sqrt(2)))
        bounds = torch.softmax(self._log_weight, 0).cumsum(0)[:-1].contiguous()
        component = torch.searchsorted(bounds, below)
        z = noise(x).flatten(1)
        return torch.addcmul(self._mean[component], z, self._variance[component].sqrt()).view_as(x)

    def _log_posterior(self, flat: Tensor, precision: Tensor, center: Tensor, level: NoiseLevel) -> Tensor:
        constant = (
            self._log_weight
            + 0.5 * precision.log().sum(1)
            - 0.5 * level.alpha * (center * self._offset).sum(1)
        )
        return flat @ center.T - 0.5 * (flat**2) @ precision.T + constant

    def component(self, x: Tensor) -> Tensor:
        """The most likely component of clean states.

        It says little about noisy samples: where the noise exceeds a component's smallest variances, their
        sum decides.

        Args:
            x: Clean states (B, *shape).

        Returns:
            Indices of components (B,), integers.
        """
        clean = NoiseLevel(0.0, 1.0, 0.0)
        precision, center, flat = self._at(x, clean)
        return self._log_posterior(flat, precision, center, clean).argmax(1)

    @property
    def states_are_items(self) -> bool:
        return self.color is None

    def images(self, x: Tensor) -> Tensor:
        low, high = self.range
        pixels = x if self.color is None else from_dct(x, self.color)
        return (pixels - low) / (high - low)

    def states(self, images: Tensor) -> Tensor:
        low, high = self.range
        pixels = images.to(self._mean.dtype) * (high - low) + low
        return pixels if self.color is None else to_dct(pixels, self.color)


def on_range(data: Mixture, range_: tuple[float, float], color: Array | None) -> Mixture:
    """A mixture on the unit range, as from `exact_data`, on the data range of a run."""
    low, high = range_
    return data.mapped(high - low, low if color is None else low * white(data.mean.shape[1:], color))
