"""Streaming mean and covariance, and groups of batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError
from bench.types import Array

if TYPE_CHECKING:
    pass


def groups(count: int, most: int = 32) -> list[list[int]]:
    """``count`` batches in at most ``most`` groups of neighbours; none where there are fewer than two."""
    few = min(count, most)
    found: list[list[int]] = [[] for _ in range(few)] if count > 1 else []
    for i in range(count if found else 0):
        found[i * few // count].append(i)
    return found


class Moments:
    """Mean and covariance of a stream of feature rows in float64 (Chan et al. 1983); memory O(d^2)."""

    def __init__(self) -> None:
        self.n = 0
        self.mean: Array = np.zeros(0)
        self._scatter: Array = np.zeros((0, 0))  # its upper triangle

    def add(self, rows: Array) -> None:
        """Take in rows (n, d); `BenchError` where one is not finite."""
        from scipy.linalg.blas import dsyrk

        rows = np.asarray(rows, dtype=np.float64)
        if not np.isfinite(rows).all():
            raise BenchError("features are NaN or infinite")
        if not len(rows):
            return
        n, d = rows.shape
        if self.n == 0:
            self.mean, self._scatter = np.zeros(d), np.zeros((d, d), order="F")
        mean, total = rows.mean(axis=0), self.n + n
        delta = mean - self.mean
        # the rows about their own mean, and a last one for the distance of the two means
        centred = np.empty((n + 1, d))
        np.subtract(rows, mean, out=centred[:n])
        np.multiply(delta, math.sqrt(self.n * n / total), out=centred[n])
        self._scatter = dsyrk(1.0, centred.T, beta=1.0, c=self._scatter, overwrite_c=1)
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
        lower = np.tri(len(self._scatter), dtype=bool)
        covariance: Array = np.where(lower, self._scatter.T, self._scatter) / (self.n - 1)
        return covariance
