"""Statistics of differences, paired or not: t over seeds, jackknife over batches, Holm's adjustment."""

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
    """A difference B - A over ``n`` seeds or groups of batches of each side.

    ``paired`` is whether those of A and B share their noise, so that the differences of pairs are tested.
    ``error`` is its standard error, ``interval`` the 95 % confidence interval, ``p`` the two-sided p value of
    no difference. They are None where there is no test (``over`` is then empty).
    """

    difference: float
    n: int
    over: Literal["seeds", "batches", ""] = ""
    paired: bool = False
    error: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None


def over_seeds(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Paired t test of the values (n,) of the same seeds, n >= 2: mean of b - a, n - 1 degrees of freedom."""
    differences = np.subtract(b, a)
    n = len(differences)
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    return _by_t(float(np.mean(differences)), error, n - 1, n, "seeds", paired=True)


def over_unpaired_seeds(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """Welch's t test of the values (n,) of n seeds that share no noise, n >= 2: the squares of both standard
    errors add, with the degrees of freedom of Welch and Satterthwaite."""
    n = len(a)
    errors = [float(np.std(values, ddof=1)) / math.sqrt(n) for values in (a, b)]
    return _welch(float(np.mean(b) - np.mean(a)), errors, [n - 1, n - 1], n, "seeds")


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
    error = jackknife_error(b - a, list(np.subtract(b_without, a_without)), sizes)
    return _by_t(b - a, error, len(sizes) - 1, len(sizes), "batches", paired=True)


def over_unpaired_batches(
    a: float,
    b: float,
    a_without: Sequence[float],
    b_without: Sequence[float],
    a_sizes: Sequence[int],
    b_sizes: Sequence[int],
) -> Estimate:
    """Difference of two values whose samples share no noise: each has its own jackknife error (as in
    `over_batches`), the squares add, with the degrees of freedom of Welch and Satterthwaite."""
    errors = [jackknife_error(a, a_without, a_sizes), jackknife_error(b, b_without, b_sizes)]
    counts = [len(a_sizes), len(b_sizes)]
    return _welch(b - a, errors, [n - 1 for n in counts], min(counts), "batches")


def jackknife_error(value: float, without: Sequence[float], sizes: Sequence[int]) -> float:
    """Standard error of a value by its values ``without`` (K,) each group of samples, of ``sizes`` (K,): the
    SE of `over_batches`."""
    rest = np.asarray(without, dtype=np.float64)
    h = sum(sizes) / np.asarray(sizes, dtype=np.float64)
    pseudo = h * value - (h - 1) * rest
    mean = len(sizes) * value - float(np.sum((1 - 1 / h) * rest))
    return math.sqrt(float(np.mean((pseudo - mean) ** 2 / (h - 1))))


def single(a: float, b: float) -> Estimate:
    """One seed and no batches: a difference without an interval."""
    return Estimate(b - a, 1)


def no_difference() -> Estimate:
    """A run beside itself."""
    return Estimate(0.0, 1, "seeds", True, 0.0, (0.0, 0.0), 1.0)


def reach(error: float, freedom: float = math.inf) -> float:
    """Half the width of the 95 % interval of a value with that standard error and degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    tail = (1 + CONFIDENCE) / 2
    return error * float(ndtri(tail) if math.isinf(freedom) else stdtrit(freedom, tail))


def _welch(
    difference: float,
    errors: Sequence[float],
    freedoms: Sequence[int],
    n: int,
    over: Literal["seeds", "batches"],
) -> Estimate:
    error = math.hypot(*errors)
    # relative to the larger one, so that no fourth power is zero
    parts = [(one / max(errors)) ** 2 if error > 0 else 1.0 for one in errors]
    freedom = sum(parts) ** 2 / sum(part**2 / k for part, k in zip(parts, freedoms, strict=True))
    return _by_t(difference, error, freedom, n, over, paired=False)


def _by_t(
    difference: float,
    error: float,
    freedom: float,
    n: int,
    over: Literal["seeds", "batches"],
    *,
    paired: bool,
) -> Estimate:
    """Student's t interval about the difference; an error of zero gives an interval of no width."""
    from scipy.special import stdtr

    half = reach(error, freedom)
    p = float(difference == 0)
    if error > 0:
        p = 2 * float(stdtr(freedom, -abs(difference) / error))
    return Estimate(difference, n, over, paired, error, (difference - half, difference + half), p)


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
