"""Kernel distance between features of samples and of a data set. KID is the one on Inception's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench import Array, Features, FeatureState, MetricContext, MetricResult, param
from bench_fid.rows import RowMetric, RowSample

MOST = 50_000
"""Rows of samples that are stored."""


class KID(RowMetric):
    """Squared maximum mean discrepancy with the kernel ``(x.y / d + 1)^3``, unbiased (Bińkowski et al. 2018,
    eq. 4), the mean over random subsets; it can be below zero.

    Stores features of at most 50,000 samples, 4 d bytes each. The error is that of the mean over the disjoint
    subsets, of which there are n / subset_size; there is none for one subset. It treats the reference's rows
    as drawn again for each subset and ignores the other subsets; conservative.
    """

    name = "kid"
    value_kind = "estimate"
    min_samples = 1000
    bias = "none"

    subsets: int = param(default=100, low=1, help="number of random subsets, whose mean is the value")
    subset_size: int = param(default=1000, low=2, help="rows of each side in a subset")

    def begin(self, context: MetricContext) -> FeatureState:
        return _KernelDistance(self.rows(context), self.subsets, self.subset_size)


class _KernelDistance(FeatureState):
    def __init__(self, reference: Array, subsets: int, size: int) -> None:
        self._reference, self._subsets, self._size = reference, subsets, size
        self._sample = RowSample(MOST)

    def update(self, features: Features) -> None:
        self._sample.update(features)

    def compute(self) -> MetricResult:
        rows = self._sample.rows(2, KID.name)
        size = min(self._size, len(rows), len(self._reference))
        values = over_subsets(rows, self._reference, self._subsets, size)
        disjoint = values[: len(rows) // size]
        error = float(disjoint.std(ddof=1)) / len(disjoint) ** 0.5 if len(disjoint) > 1 else None
        details = {
            "subsets": self._subsets,
            "subset_size": size,
            "std_over_subsets": float(values.std()),
            "disjoint_subsets": len(disjoint),
            "rows": len(rows),
            "reference_rows": len(self._reference),
        }
        return MetricResult(float(values.mean()), self._sample.n, error, details=details)


def over_subsets(x: Array, y: Array, subsets: int, size: int, seed: int = 0) -> Array:
    """`squared_mmd` of random subsets of ``size`` rows of x (n, d) and of y (m, d).

    Each random order of the rows gives n / size subsets: the first n / size are disjoint.
    """
    rng = np.random.default_rng(seed)
    parts_x, parts_y = (_parts(len(rows), size, subsets, rng) for rows in (x, y))
    return np.array([squared_mmd(x[i], y[j]) for i, j in zip(parts_x, parts_y, strict=True)])


def _parts(n: int, size: int, count: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    parts: list[NDArray[np.int64]] = []
    while len(parts) < count:
        order = rng.permutation(n)
        parts += [order[i * size : (i + 1) * size] for i in range(n // size)]
    return parts[:count]


def squared_mmd(x: Array, y: Array) -> float:
    """``mean k(x_i, x_j) + mean k(y_i, y_j) - 2 mean k(x_i, y_j)``, the first two over i != j.

    Unbiased (Gretton et al. 2012, lemma 6), k the cubic kernel. Rows x (n, d), y (m, d), two at least.
    """
    n, m, d = len(x), len(y), x.shape[1]
    xx, yy, xy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())
