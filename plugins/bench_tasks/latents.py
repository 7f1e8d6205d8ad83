"""Metrics of latents: against the prior, and against those of another checkpoint."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np

from bench import Array, BenchError, Measured, Metric, Reading, Tensor
from bench.metrics import fd_diagonal, groups

GROUPS = 16


class LatentFD(Metric):
    """Fréchet distance between latents and the prior N(0, I), per coordinate, the mean over coordinates:
    ``mean_j m_j^2 + (s_j - 1)^2``, without the 1/n bias (as ``fd_dct``), so that it can come out below zero.

    It sees each coordinate's mean and spread, not how they hang together. In details: the mean of z^2, one
    under the prior.
    """

    name = "latent_fd"
    reads = ("latents",)
    least = 100
    bias = "none where the coordinates are normal"

    def start(self, device: Any) -> Measured:
        del device
        return _AgainstPrior()


class _AgainstPrior(Measured):
    def __init__(self) -> None:
        self.n = 0
        self.sum: Array = np.zeros(0)
        self.squares: Array = np.zeros(0)

    def add(self, latents: Tensor) -> None:
        z = latents.flatten(1).double().cpu().numpy()
        if not self.n:
            self.sum, self.squares = np.zeros(z.shape[1]), np.zeros(z.shape[1])
        self.n += len(z)
        self.sum += z.sum(axis=0)
        self.squares += (z**2).sum(axis=0)

    def result(self) -> Reading:
        if self.n < 2:
            raise BenchError(f"latent_fd needs at least 2 images, not {self.n}")
        value, error = fd_diagonal(self.sum / self.n, self.squares, self.n, np.ones_like(self.sum))
        d = self.sum.size
        details = {"mean_square": float(self.squares.sum() / (self.n * d))}
        # the plug-in error means nothing while variances are guesses
        return Reading(value / d, self.n, error / d if self.n >= LatentFD.least else None, details=details)


class _Beside(Metric):
    """A number per coordinate of two checkpoints' latents, the mean over coordinates.

    In details: the same of shuffled images, each beside the next one, and quantiles over coordinates of both.
    The error is a jackknife's over images. Keeps all latents: 8 bytes per coordinate and image.
    """

    name = "beside"
    reads = ("latents", "other_latents")
    least = 16

    @abstractmethod
    def per_coordinate(self, x: Array, y: Array) -> Array:
        """Latents (n, D) of the same images -> (D,)."""

    def start(self, device: Any) -> Measured:
        del device
        return _Kept(self)


class LatentCorrelation(_Beside):
    """Pearson's correlation over images between two checkpoints' latents, per coordinate, the mean over
    coordinates: 1 where the checkpoints agree, of shuffled images about 0."""

    name = "latent_correlation"
    direction: ClassVar[Literal["lower", "higher"]] = "higher"

    def per_coordinate(self, x: Array, y: Array) -> Array:
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        both = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
        found: Array = (x * y).sum(axis=0) / np.maximum(both, np.finfo(float).tiny)
        return found


class LatentDifference(_Beside):
    """Root mean square over images of the difference between two checkpoints' latents, per coordinate, the
    mean over coordinates: 0 where the checkpoints agree, of shuffled images about sqrt(2)."""

    name = "latent_difference"

    def per_coordinate(self, x: Array, y: Array) -> Array:
        found: Array = np.sqrt(((x - y) ** 2).mean(axis=0))
        return found


class _Kept(Measured):
    def __init__(self, metric: _Beside) -> None:
        self.metric = metric
        self.batches: list[tuple[Array, Array]] = []

    def add(self, *left: Tensor) -> None:
        latents, others = (z.flatten(1).cpu().numpy() for z in left)
        self.batches.append((latents, others))

    def result(self) -> Reading:
        n = sum(len(x) for x, _ in self.batches)
        if n < 3:
            raise BenchError(f"{self.metric.name} needs at least 3 images, not {n}")
        x, y = (np.concatenate(side).astype(np.float64) for side in zip(*self.batches, strict=True))
        found = self.metric.per_coordinate(x, y)
        shuffled = self.metric.per_coordinate(x, np.roll(y, 1, axis=0))
        details = {
            "shuffled": float(shuffled.mean()),
            "quantiles": quantiles(found),
            "shuffled_quantiles": quantiles(shuffled),
        }
        error = None
        if n >= self.metric.least:
            parts = groups(n, GROUPS)
            left = [self.metric.per_coordinate(*(np.delete(z, p, axis=0) for z in (x, y))) for p in parts]
            means = np.array([one.mean() for one in left])
            error = float(np.sqrt((len(parts) - 1) * means.var()))
        return Reading(float(found.mean()), n, error, details=details)


def quantiles(values: Array) -> dict[str, float]:
    """Three of them, by name."""
    return {f"{q:.0%}": float(np.quantile(values, q)) for q in (0.05, 0.5, 0.95)}
