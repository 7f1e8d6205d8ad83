"""Role Metric, streaming moments, and the Fréchet distance between Gaussians."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from bench.errors import BenchError
from bench.params import Plugin
from bench.sde import Array

if TYPE_CHECKING:
    from torch import Tensor, device


@dataclasses.dataclass(frozen=True)
class Reading:
    """A metric's value on n samples; ``error`` its standard error where the metric knows one.

    ``note`` says what limits the value (too few samples, say); ``details`` go into the record.
    """

    value: float
    n: int
    error: float | None = None
    note: str = ""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


class Measured(ABC):
    """A measurement under way: images stream in, a `Reading` comes out."""

    @abstractmethod
    def add(self, images: Tensor) -> None:
        """Take in images (B, C, H, W) on [0, 1], not clipped, float32."""

    @abstractmethod
    def result(self) -> Reading:
        """The reading over all images so far."""

    def leave_one_out(self) -> list[float]:
        """The value without each of `groups` of the ``add`` calls in turn, for jackknife intervals
        (`bench compare`); empty where the metric does not offer it."""
        return []


def groups(count: int, most: int = 32) -> list[list[int]]:
    """``count`` batches in at most ``most`` groups of neighbours; none where there are fewer than two."""
    few = min(count, most)
    found: list[list[int]] = [[] for _ in range(few)] if count > 1 else []
    for i in range(count if found else 0):
        found[i * few // count].append(i)
    return found


class Metric(Plugin):
    """What samples are judged by. ``direction`` says which way is better; ``least`` is the smallest
    sensible n, below which the reading is flagged; ``provenance`` names the data it rests on."""

    direction: ClassVar[Literal["lower", "higher"]] = "lower"
    least: ClassVar[int] = 2

    @abstractmethod
    def start(self, device: device) -> Measured:
        """Begin a measurement whose work runs on ``device``."""

    def provenance(self) -> dict[str, str]:
        """Hashes of the files that decide the value."""
        return {}


class Moments:
    """Mean and covariance of a stream of feature rows in float64 (Chan et al. 1983); memory O(d^2)."""

    def __init__(self) -> None:
        self.n = 0
        self.mean: Array = np.zeros(0)
        self._scatter: Array = np.zeros((0, 0))

    def add(self, rows: Array) -> None:
        """Take in rows (n, d); `BenchError` where one is not finite."""
        rows = np.asarray(rows, dtype=np.float64)
        if not np.isfinite(rows).all():
            raise BenchError("features are NaN or infinite")
        n, mean = len(rows), rows.mean(axis=0)
        centred = rows - mean
        scatter = centred.T @ centred
        if self.n == 0:
            self.n, self.mean, self._scatter = n, mean, scatter
            return
        delta, total = mean - self.mean, self.n + n
        self._scatter += scatter + np.outer(delta, delta) * (self.n * n / total)
        self.mean = self.mean + delta * (n / total)
        self.n = total

    def without(self, part: Moments) -> Moments:
        """The moments with the rows of ``part`` taken out again."""
        rest = Moments()
        rest.n = self.n - part.n
        rest.mean = self.mean + (self.mean - part.mean) * (part.n / rest.n)
        delta = part.mean - rest.mean
        rest._scatter = self._scatter - part._scatter - np.outer(delta, delta) * (part.n * rest.n / self.n)
        return rest

    def covariance(self) -> Array:
        """Unbiased covariance (d, d)."""
        if self.n < 2:
            raise BenchError(f"a covariance needs at least 2 samples, not {self.n}")
        return self._scatter / (self.n - 1)


def frechet_distance(mean: Array, covariance: Array, mean_: Array, covariance_: Array) -> float:
    """``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`` (Dowson and Landau 1982, eq. 4), by eigenvalues.

    ``tr (C C')^(1/2)`` is the sum of the square roots of the eigenvalues of ``C^(1/2) C' C^(1/2)``,
    which is symmetric and positive semi-definite whatever the rank. Means (d,), covariances (d, d).
    """
    if mean.shape != mean_.shape:
        raise BenchError(
            f"statistics of {mean_.shape[0]} features against {mean.shape[0]}: not the same extractor"
        )
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    product = root @ covariance_ @ root
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh((product + product.T) / 2), 0.0)).sum()
    difference = mean - mean_
    return float(difference @ difference + np.trace(covariance) + np.trace(covariance_) - 2 * cross)


def to_uint8(images: Tensor) -> Tensor:
    """Images on [0, 1] -> uint8 by clipping and rounding."""
    import torch

    return images.clamp(0, 1).mul(255).round().to(torch.uint8)
