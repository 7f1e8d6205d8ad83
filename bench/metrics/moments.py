"""Streaming mean and covariance."""

from __future__ import annotations

import math

import numpy as np

from bench.errors import BenchError
from bench.types import Array


class Moments:
    """Mean and covariance of a stream of feature rows, in float64; memory O(d^2).

    A batch of m rows whose mean differs by delta from that of the n rows before gives

        mean' = mean + delta m / (n + m),    S' = S + S_batch + delta delta^T n m / (n + m),

    where S is the sum of outer products about the mean.

    Attributes:
        n: Number of rows so far.
        mean: Their mean, (d,).

    Source: Chan, Golub and LeVeque (1983), eq. 2.1.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean: Array = np.zeros(0)
        self._scatter: Array = np.zeros((0, 0))  # the upper triangle of S

    def add(self, rows: Array) -> None:
        """Add a batch of rows.

        Args:
            rows: Features (m, d).

        Raises:
            BenchError: A value is NaN or infinite.
        """
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
        # the rows about their own mean, and a last one for the distance of the two means: one product
        centered = np.empty((n + 1, d))
        np.subtract(rows, mean, out=centered[:n])
        np.multiply(delta, math.sqrt(self.n * n / total), out=centered[n])
        self._scatter = dsyrk(1.0, centered.T, beta=1.0, c=self._scatter, overwrite_c=1)
        self.mean = self.mean + delta * (n / total)
        self.n = total

    def without(self, part: Moments) -> Moments:
        """The moments of the rows outside a part.

        Args:
            part: Moments of rows that were all added here too.

        Returns:
            The moments of the other rows.
        """
        rest = Moments()
        rest.n = self.n - part.n
        rest.mean = self.mean + (self.mean - part.mean) * (part.n / rest.n)
        delta = part.mean - rest.mean
        rest._scatter = self._scatter - part._scatter - np.outer(delta, delta) * (part.n * rest.n / self.n)
        return rest

    def trace(self) -> float:
        """The trace of S, the sum of squared distances to the mean."""
        return float(np.trace(self._scatter))

    def merge(self, part: Moments) -> None:
        """Add the rows of other moments of the same features."""
        if not part.n:
            return
        if not self.n:
            self.mean, self._scatter = np.zeros_like(part.mean), np.zeros_like(part._scatter)
        total, delta = self.n + part.n, part.mean - self.mean
        self._scatter = self._scatter + part._scatter + np.outer(delta, delta) * (self.n * part.n / total)
        self.mean = self.mean + delta * (part.n / total)
        self.n = total

    def covariance(self) -> Array:
        """The unbiased covariance ``S / (n - 1)``.

        Returns:
            Covariance (d, d).

        Raises:
            BenchError: There are fewer than two rows.
        """
        if self.n < 2:
            raise BenchError(f"a covariance needs at least 2 samples, not {self.n}")
        lower = np.tri(len(self._scatter), dtype=bool)
        covariance: Array = np.where(lower, self._scatter.T, self._scatter) / (self.n - 1)
        return covariance
