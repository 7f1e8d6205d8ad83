"""Data on which samplers are judged: mixtures of two normals in every coordinate, known at all levels.

The flow moves quantiles, ``y(t) = F_t^-1(F_T(y(T)))`` in every coordinate y, so that the right answer is
known for data whose score is not affine. States are x = R y with a rotation R of neighbors, so that the
numbers of a state depend on each other. All data lies within the range that checkpoints take, so that a
sampler may clip or threshold what it predicts.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import torch

from bench.diffusion.counting import count_evaluations
from bench.diffusion.levels import NoiseLevel, RowLevels
from bench.diffusion.model import Model, velocity_of_denoised
from bench.types import Array

Tensor = torch.Tensor
SHAPE = (3, 8, 8)
"""Shape of the states on which samplers are judged."""
NARROW = (1, 4, 4)
"""Shape of the states that are repeated to `SHAPE`."""
SMALL = (3, 2, 2)
"""Shape of the states where a batch has a row for each draw of noise."""
ANGLE = math.radians(20)
"""Angle by which neighbors of the mixture are rotated."""
HALVINGS = 60
"""Halvings of an interval by which a quantile is found: to the last bit of float64."""


@dataclasses.dataclass(frozen=True)
class Law:
    """``sum_k weight_k N(mean_k, variance_k)``, two components in every coordinate y, and states ``x = R y``.

    R rotates each pair of neighbors along the last axis; coordinates are independent.

    Args:
        weight: Weights (2, *shape) of the components; they sum to one.
        mean: Means (2, *shape).
        variance: Variances (2, *shape).
        angle: Angle of R, in radians; 0: states are coordinates.
    """

    weight: Tensor
    mean: Tensor
    variance: Tensor
    angle: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a state."""
        return tuple(self.mean.shape[1:])

    @property
    def center(self) -> Tensor:
        """Mean of each coordinate (*shape)."""
        return (self.weight * self.mean).sum(0)

    @property
    def spread(self) -> Tensor:
        """Standard deviation of each coordinate (*shape)."""
        square: Tensor = (self.weight * (self.variance + (self.mean - self.center) ** 2)).sum(0)
        return square.sqrt()

    def mapped(self, low: float, high: float) -> Law:
        """The law of ``low + (high - low) (x + 1) / 2``: from the range [-1, 1] to another.

        Args:
            low: Low end of the new range.
            high: Its high end.
        """
        gain = (high - low) / 2
        center = self.coordinates(torch.full_like(self.mean[0], low + gain))
        return dataclasses.replace(self, mean=center + gain * self.mean, variance=gain**2 * self.variance)

    def states(self, y: Tensor) -> Tensor:
        """``x = R y`` (B, *shape)."""
        return _rotated(y, self.angle)

    def coordinates(self, x: Tensor) -> Tensor:
        """``y = R^-1 x`` (B, *shape)."""
        return _rotated(x, -self.angle)

    def at(self, level: NoiseLevel) -> Law:
        """The marginal at a level: means ``alpha mean_k``, variances ``alpha^2 variance_k + sigma^2``."""
        variance = level.alpha**2 * self.variance + level.sigma**2
        return Law(self.weight, level.alpha * self.mean, variance, self.angle)

    def over(self, levels: Sequence[NoiseLevel]) -> Law:
        """The marginals at several levels: a law of states (levels, *shape)."""
        axes = (-1, *(1,) * len(self.shape))
        alpha, sigma = (
            torch.tensor([getattr(level, name) for level in levels], dtype=torch.float64).view(axes)
            for name in ("alpha", "sigma")
        )
        mean = alpha * self.mean[:, None]
        variance = alpha**2 * self.variance[:, None] + sigma**2
        return Law(self.weight[:, None].expand_as(mean), mean, variance, self.angle)

    def quantiles(self, z: Tensor) -> Tensor:
        """The y with ``F(y) = Phi(z)`` in each coordinate; it lies between those of the two components.

        Args:
            z: Standard normal numbers (B, *shape), float64.

        Returns:
            Coordinates (B, *shape).
        """
        below, deviation = torch.special.ndtr(z), self.variance.sqrt()
        ends = self.mean[:, None] + deviation[:, None] * z
        low, high = ends.amin(0), ends.amax(0)
        for _ in range(HALVINGS):
            x = (low + high) / 2
            parts = torch.special.ndtr((x - self.mean[:, None]) / deviation[:, None])
            lower = (self.weight[:, None] * parts).sum(0) < below
            low, high = torch.where(lower, x, low), torch.where(lower, high, x)
        return (low + high) / 2

    def nodes(self, count: int = 48) -> tuple[Tensor, Tensor]:
        """Coordinates and weights by which means under this law are sums: Gauss-Hermite, per component.

        Args:
            count: Nodes of each component.

        Returns:
            Coordinates (2 count, *shape) and weights (2 count, *shape), which sum to one in each coordinate.
        """
        node, weight = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(count))
        axes = (-1, *(1,) * len(self.shape))
        x = self.mean[:, None] + self.variance.sqrt()[:, None] * node.view(axes)
        w = self.weight[:, None] * (weight / weight.sum()).view(axes)
        return x.flatten(0, 1), w.expand_as(x).flatten(0, 1)


class LawModel(Model):
    """The exact score of a law: ``R [(1 - r) s_0 + r s_1]`` with the posterior r of component 1.

    Args:
        law: The data, on the run's range.
        range_: That range (low, high).
        dtype: Precision of states.
    """

    def __init__(self, law: Law, range_: tuple[float, float], dtype: torch.dtype) -> None:
        self.law, self.range, self.dtype = law, range_, dtype
        self.shape, self.log_weight = law.shape, law.weight.log()

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        law = self.law.at(level)
        precision = law.variance.reciprocal()
        # the score of component k: (mean_k - x) / variance_k
        return self._answer(x, law, precision, law.mean * precision, precision)

    def score_of_rows(self, x: Tensor, levels: RowLevels) -> Tensor:
        count_evaluations(len(x))
        axes = (-1, *(1,) * len(self.shape))
        alpha, sigma = (torch.from_numpy(array).view(axes) for array in (levels.alpha, levels.sigma))
        x = self.law.coordinates(x)
        # mean, variance and (mean - x) / variance of both components, each (2, B, *shape)
        mean = (alpha * self.law.mean[:, None]).to(self.dtype)
        precision = 1 / (alpha**2 * self.law.variance[:, None] + sigma**2)
        weight = (self.law.weight[:, None].log() + 0.5 * precision.log()).to(self.dtype)
        precision = precision.to(self.dtype)
        away = mean - x
        r = torch.softmax(weight - 0.5 * precision * away.square(), dim=0)
        return self.law.states((r * precision * away).sum(0))

    def denoised(self, x: Tensor, level: NoiseLevel) -> Tensor:
        law, data = self.law.at(level), self.law
        precision = law.variance.reciprocal()
        # of component k: (mean_k sigma^2 + alpha x variance_k) / (alpha^2 variance_k + sigma^2)
        start, slope = level.sigma**2 * data.mean * precision, -level.alpha * data.variance * precision
        return self._answer(x, law, precision, start, slope)

    def velocity(self, x: Tensor, level: NoiseLevel) -> Tensor:
        # of the score it loses digits as alpha falls to 0, of the clean data as sigma does
        if level.alpha < level.sigma:
            return velocity_of_denoised(x, self.denoised(x, level), level)
        return super().velocity(x, level)

    def _answer(self, x: Tensor, law: Law, precision: Tensor, start: Tensor, slope: Tensor) -> Tensor:
        """``sum_k r_k (start_k - slope_k x)`` with the posteriors r_k of the marginal's components."""
        count_evaluations(len(x))
        x = self.law.coordinates(x)
        pull = law.mean * precision
        # ln (r_1 / r_0) is a polynomial of degree two in x
        log = self.log_weight - 0.5 * (law.variance.log() + law.mean * pull)
        # together, as a check asks at thousands of levels, and few samples cost less than these
        terms = torch.stack([-0.5 * precision, pull, log, start, slope])
        a, b, c, p, q = (terms[:, 1] - terms[:, 0]).to(self.dtype)
        *_, p_0, q_0 = terms[:, 0].to(self.dtype)
        r = torch.addcmul(b, x, a).mul_(x).add_(c).sigmoid_()
        answer = torch.addcmul(p, x, q, value=-1).mul_(r)
        return self.law.states(answer.add_(p_0).addcmul_(x, q_0, value=-1))

    def images(self, x: Tensor) -> Tensor:
        low, high = self.range
        return (x - low) / (high - low)

    def states(self, images: Tensor) -> Tensor:
        low, high = self.range
        return images * (high - low) + low


def _rotated(x: Tensor, angle: float) -> Tensor:
    """Each pair of neighbors along the last axis, turned by an angle."""
    if angle == 0:
        return x
    pairs: Tensor = x.unflatten(-1, (-1, 2)) @ _turn(angle, x.dtype)
    return pairs.flatten(-2)


@functools.cache
def _turn(angle: float, dtype: torch.dtype) -> Tensor:
    """The matrix by which a row of two is turned."""
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, s], [-s, c]], dtype=dtype)


def _law(weight: Array, mean: Array, deviation: Array) -> Law:
    weights, means, variances = map(torch.from_numpy, (np.stack([1 - weight, weight]), mean, deviation**2))
    return Law(weights, means, variances)


def normals(shape: tuple[int, ...] = SHAPE) -> Law:
    """Normals of different means and deviations, whose score is affine, on the range [-1, 1].

    Args:
        shape: Shape of a state.
    """
    count = int(np.prod(shape))
    # in another order than the deviations
    mean = np.linspace(-0.2, 0.2, count)[np.arange(count) * 7 % count]
    deviation = np.geomspace(0.05, 0.19, count)
    both = [np.broadcast_to(a.reshape(shape), (2, *shape)).copy() for a in (mean, deviation)]
    return _law(np.full(shape, 0.5), *both)


def mixture() -> Law:
    """Normals in the first channel; two modes, of equal and of other weights and widths, in the others.

    Each mode and normal is within the range [-1, 1] to four of its deviations, rotated too.
    """
    one = normals(SHAPE)
    weight, mean, variance = (array.numpy().copy() for array in (one.weight[1], one.mean, one.variance))
    weight[1], weight[2] = 0.5, 0.3
    for k, second, third in ((0, -0.35, 0.25), (1, 0.35, -0.35)):
        mean[k, 1], mean[k, 2] = second, third
    variance[0, 1], variance[1, 1] = 0.15**2, 0.15**2
    variance[0, 2], variance[1, 2] = 0.18**2, 0.12**2
    return dataclasses.replace(_law(weight, 0.75 * mean, 0.75 * np.sqrt(variance)), angle=ANGLE)


def point() -> Law:
    """One state, of no spread: what is left around it is noise."""
    one = normals(SHAPE)
    return Law(one.weight, one.mean, torch.zeros_like(one.variance))
