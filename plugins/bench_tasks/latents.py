"""Metrics of latents: against the prior, and against those of another checkpoint."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np

from bench import (
    Array,
    BenchError,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Tensor,
    fd_diagonal,
)

GROUPS = 16
"""Parts of the images, each of which the jackknife leaves out."""


class LatentFD(Metric):
    """Fréchet distance between latents and the prior N(0, I), per coordinate, the mean over coordinates:
    ``mean_j m_j^2 + (s_j - 1)^2``, without the 1/n bias (as ``fd_dct``), so that it can be negative.

    It sees each coordinate's mean and spread, not their correlations. The details hold the mean of z^2, which
    is one under the prior.
    """

    name = "latent_fd"
    value_kind = "estimate"
    inputs = ("latents",)
    min_samples = 100
    bias = "none where the coordinates are normal"

    @property
    def fewest_samples(self) -> int:
        return 2

    def start(self, context: MetricContext) -> MetricState:
        del context
        return PriorDistance()


class PriorDistance(MetricState):
    """`LatentFD` under way: sums and sums of squares per coordinate."""

    def __init__(self) -> None:
        self.n = 0
        self.sum: Array = np.zeros(0)
        self.squares: Array = np.zeros(0)

    def update(self, latents: Tensor) -> None:
        z = latents.flatten(1).double().cpu().numpy()
        if not self.n:
            self.sum, self.squares = np.zeros(z.shape[1]), np.zeros(z.shape[1])
        self.n += len(z)
        self.sum += z.sum(axis=0)
        self.squares += (z**2).sum(axis=0)

    def compute(self) -> MetricResult:
        if self.n < 2:
            raise BenchError(f"latent_fd needs at least 2 images, not {self.n}")
        value, error = fd_diagonal(self.sum / self.n, self.squares, self.n, np.ones_like(self.sum))
        d = self.sum.size
        details = {"mean_square": float(self.squares.sum() / (self.n * d))}
        # the plug-in error needs variances that are more than guesses
        return MetricResult(
            value / d, self.n, error / d if self.n >= LatentFD.min_samples else None, details=details
        )


class LatentComparison(Metric):
    """A number per coordinate of two checkpoints' latents, the mean over coordinates.

    The details hold the same number where each image is paired with the next one (``shuffled``), and
    quantiles over coordinates of both. The error is that of a jackknife over sixteen parts of the images.
    Memory: a few sums per coordinate.
    """

    name = "latent_comparison"
    inputs = ("latents", "other_latents")
    min_samples = GROUPS

    @abstractmethod
    def terms(self, x: Array, y: Array) -> list[Array]:
        """The terms to sum over images, arrays (n, D), of two checkpoints' latents (n, D) of the same
        images."""

    @abstractmethod
    def value(self, sums: Array, n: int) -> Array:
        """The number per coordinate (D,) from the sums (terms, D) over n images."""

    @property
    def fewest_samples(self) -> int:
        return 3

    def start(self, context: MetricContext) -> MetricState:
        del context
        return ComparisonState(self)


class LatentCorrelation(LatentComparison):
    """Pearson's correlation over images between two checkpoints' latents, per coordinate, the mean over
    coordinates: 1 where the checkpoints agree, about 0 for shuffled images. A coordinate that is equal in all
    images counts as 0."""

    name = "latent_correlation"
    direction: ClassVar[Literal["lower", "higher"]] = "higher"
    axis: ClassVar[Literal["log", "linear"]] = "linear"

    def terms(self, x: Array, y: Array) -> list[Array]:
        return [x, y, x * x, y * y, x * y]

    def value(self, sums: Array, n: int) -> Array:
        x, y, xx, yy, xy = sums / n
        x_variance, y_variance = xx - x * x, yy - y * y
        # sums of n terms err by n eps at most: a variance below that is one of equal latents
        rounding = 2 * n * np.finfo(float).eps
        equal = (x_variance <= rounding * xx) | (y_variance <= rounding * yy)
        deviations = np.sqrt(np.where(equal, 1.0, x_variance * y_variance))
        correlation: Array = np.where(equal, 0.0, (xy - x * y) / np.maximum(deviations, np.finfo(float).tiny))
        return np.clip(correlation, -1.0, 1.0)


class LatentDifference(LatentComparison):
    """Root mean square over images of the difference between two checkpoints' latents, per coordinate, the
    mean over coordinates: 0 where the checkpoints agree, about sqrt(2) for shuffled images."""

    name = "latent_difference"
    value_kind = "distance"

    def terms(self, x: Array, y: Array) -> list[Array]:
        return [(x - y) ** 2]

    def value(self, sums: Array, n: int) -> Array:
        difference: Array = np.sqrt(sums[0] / n)
        return difference


class ComparisonState(MetricState):
    """`LatentComparison` under way: image i counts in part i mod `GROUPS`; shuffled, the last image is paired
    with the first."""

    def __init__(self, metric: LatentComparison) -> None:
        self.metric = metric
        self.n = 0
        self.parts: list[Array | float] = [0.0] * GROUPS
        self.shuffled: Array | float = 0.0
        self.first: Array = np.zeros(0)
        self.last: Array = np.zeros(0)

    def _sums(self, x: Array, y: Array) -> Array:
        return np.stack([term.sum(axis=0) for term in self.metric.terms(x, y)])

    def update(self, *latents: Tensor) -> None:
        x, y = (z.flatten(1).double().cpu().numpy() for z in latents)
        for part in range(min(GROUPS, len(x))):
            self.parts[(self.n + part) % GROUPS] += self._sums(x[part::GROUPS], y[part::GROUPS])
        if self.n:
            self.shuffled += self._sums(self.last, y[:1])
        else:
            self.first = y[:1].copy()
        self.shuffled += self._sums(x[:-1], y[1:])
        self.last = x[-1:].copy()
        self.n += len(x)

    def compute(self) -> MetricResult:
        n, value = self.n, self.metric.value
        if n < 3:
            raise BenchError(f"{self.metric.name} needs at least 3 images, not {n}")
        total = np.asarray(sum(self.parts))
        values = value(total, n)
        shuffled = value(self.shuffled + self._sums(self.last, self.first), n)
        details = {
            "shuffled": float(shuffled.mean()),
            "quantiles": quantiles(values),
            "shuffled_quantiles": quantiles(shuffled),
        }
        error = None
        if n >= self.metric.min_samples:
            counts = [len(range(part, n, GROUPS)) for part in range(GROUPS)]
            pairs = zip(self.parts, counts, strict=True)
            means = np.array([value(total - part, n - count).mean() for part, count in pairs])
            error = float(np.sqrt((GROUPS - 1) * means.var()))
        return MetricResult(float(values.mean()), n, error, details=details)


def quantiles(values: Array) -> dict[str, float]:
    """The 5 %, 50 % and 95 % quantiles, by name."""
    return {f"{q:.0%}": float(np.quantile(values, q)) for q in (0.05, 0.5, 0.95)}
