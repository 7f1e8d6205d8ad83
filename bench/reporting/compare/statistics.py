"""Statistics of paired differences: t over seeds, jackknife over batches, Holm's adjustment."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

CONFIDENCE = 0.95
"""Confidence level of every interval."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A difference B - A from ``n`` pairs of ``paired_by``.

    ``error`` is its standard error, ``interval`` the 95 % confidence interval, ``p`` the two-sided p value of
    no difference. They are None where the pairs allow no test (``paired_by`` is then empty).
    """

    difference: float
    n: int
    paired_by: Literal["seeds", "batches", ""] = ""
    error: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None


def over_seeds(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Paired t test of the values (n,) of the same seeds, n >= 2: mean of b - a, n - 1 degrees of freedom."""
    differences = np.subtract(b, a)
    n = len(differences)
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    return _by_t(float(np.mean(differences)), error, n, "seeds")


def over_batches(
    a: float, b: float, a_without: Sequence[float], b_without: Sequence[float], sizes: Sequence[int]
) -> Estimate:
    """Delete-a-group jackknife of b - a.

    ``*_without`` (K,) are the values without each group of samples, of ``sizes`` (K,).
    Of d = b - a the pseudo-values are ``h_k d - (h_k - 1) d_-k`` with h_k = sum(sizes) / size_k, and

        SE^2 = 1/K sum_k (pseudo_k - mean)^2 / (h_k - 1)

    and mean = K d - sum_k (1 - 1/h_k) d_-k (Busing, Meijer and van der Leeden 1999). Where groups are
    equal h is K, and SE the classic sd(pseudo) / sqrt(K). t about d with K - 1 degrees of freedom, K >= 2.
    """
    d, without = b - a, np.subtract(b_without, a_without)
    h = sum(sizes) / np.asarray(sizes, dtype=np.float64)
    pseudo = h * d - (h - 1) * without
    mean = len(sizes) * d - float(np.sum((1 - 1 / h) * without))
    error = math.sqrt(float(np.mean((pseudo - mean) ** 2 / (h - 1))))
    return _by_t(d, error, len(sizes), "batches")


def single(a: float, b: float) -> Estimate:
    """One pair: no interval, except for equal values, which come from the same samples."""
    return Estimate(b - a, 1) if a != b else Estimate(0.0, 1, "seeds", 0.0, (0.0, 0.0), 1.0)


def _by_t(difference: float, error: float, n: int, paired_by: Literal["seeds", "batches"]) -> Estimate:
    """Student's t interval about the difference; an error of zero gives an interval of no width."""
    from scipy.special import stdtr, stdtrit

    reach = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error
    p = float(difference == 0)
    if error > 0:
        p = 2 * float(stdtr(n - 1, -abs(difference) / error))
    return Estimate(difference, n, paired_by, error, (difference - reach, difference + reach), p)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for their number (Holm 1979): below 0.05, any is false with a chance of at most 5 %.

    None stays None and is not counted.
    """
    ranked = sorted((p, index) for index, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, index) in enumerate(ranked):
        largest = adjusted[index] = max(largest, min(1.0, (len(ranked) - rank) * p))
    return adjusted


def geometric_mean(values: Sequence[float]) -> float | None:
    """exp of the mean log; None for no values."""
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if values else None
