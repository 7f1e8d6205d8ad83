"""Fréchet distances between Gaussians."""

from __future__ import annotations

import math

import numpy as np

from bench.errors import BenchError
from bench.types import Array


def frechet_distance(mean: Array, covariance: Array, other_mean: Array, other_covariance: Array) -> float:
    """``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`` (Dowson and Landau 1982, eq. 4), by eigenvalues.

    With ``C = L L^T`` and ``C' = L' L'^T``, ``tr (C C')^(1/2)`` is the sum of the singular values of
    ``L^T L'``, whose squares are the eigenvalues of ``L^T C' L``. The factors have as many columns as the
    covariances have rank, so that covariances of fewer samples than features add no rounding noise.

    Args:
        mean: m, (d,).
        covariance: C, (d, d).
        other_mean: m', (d,).
        other_covariance: C', (d, d).

    Returns:
        The squared distance, in squared units of the features; at least 0 (what rounding puts
        below counts as 0).

    Raises:
        BenchError: The two have different d, or a covariance has negative eigenvalues.
    """
    if mean.shape != other_mean.shape:
        raise BenchError(
            f"statistics of {other_mean.shape[0]} features against {mean.shape[0]}: not the same extractor"
        )
    difference = mean - other_mean
    trace = float(np.trace(covariance) + np.trace(other_covariance))
    cross = _cross(_factor(covariance), _factor(other_covariance))
    distance = float(difference @ difference) + trace - 2 * cross
    return 0.0 if distance < 0 else distance


def _factor(covariance: Array) -> Array:
    """L (d, rank) with ``L L^T = C``, by Cholesky's decomposition with pivots (Higham 2002, ch. 10.3)."""
    from scipy.linalg.lapack import dpstrf

    lower, pivots, rank, _ = dpstrf(covariance, lower=1)
    factor = np.empty((len(covariance), rank))
    factor[pivots - 1] = np.tril(lower[:, :rank])
    trace = np.trace(covariance)
    if abs(trace - np.vdot(factor, factor)) > 1e-6 * abs(trace):
        raise BenchError("statistics are damaged: their covariance has negative eigenvalues")
    return factor


def _cross(one: Array, two: Array) -> float:
    """Sum of the singular values of ``one^T two`` (its nuclear norm)."""
    from scipy.linalg import eigvalsh, svdvals

    product = one.T @ two
    if product.shape[0] > product.shape[1]:
        product = product.T
    if not len(product):
        return 0.0
    squares = eigvalsh(product @ product.T, check_finite=False, overwrite_a=True)
    # an eigenvalue errs by some eps of the largest one, its root by that over the root: where these errors
    # matter, the singular values themselves are computed, which takes longer
    smallest = np.finfo(float).tiny
    errors = np.finfo(float).eps * squares[-1:] / np.sqrt(np.maximum(squares, smallest))
    roots = np.sqrt(np.maximum(squares, 0.0)).sum()
    if errors.sum() <= 1e-8 * roots:
        return float(roots)
    return float(svdvals(product, check_finite=False).sum())


def fd_diagonal(offset: Array, squares: Array, n: int, variance: Array) -> tuple[float, float]:
    """Fréchet distance of n samples to a reference, per coordinate and summed, without the 1/n bias.

    ``sum_j o_j^2 - v_j / n + v_j + V_j - 2 sqrt(V_j v_j) / c4(n)``, with o the sample mean minus the
    reference mean, v the unbiased sample variance and V the reference variance. For normal coordinates
    ``E o^2`` exceeds the square of its mean by v / n, and ``E sqrt(v)`` is c4(n) standard deviations. The
    value is unbiased, so that it can be negative. A coordinate that is equal in all samples adds
    ``o_j^2 + V_j``.

    Args:
        offset: o, sample mean minus reference mean, (d,).
        squares: Sum over samples of squared deviations from the reference mean, (d,).
        n: Number of samples.
        variance: V, variances of the reference, (d,).

    Returns:
        The squared distance, and its standard error, estimated by the delta method for normal coordinates.

    Raises:
        BenchError: n is less than 2.
    """
    if n < 2:
        raise BenchError(f"a variance needs at least 2 samples, not {n}")
    deviations = squares - n * offset**2
    # sums of n terms err by n eps at most (Higham 2002, ch. 4.2): a smaller variance is one of equal samples
    v = np.where(deviations <= 2 * n * np.finfo(float).eps * squares, 0.0, deviations) / (n - 1)
    c4 = math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    sd = np.sqrt(v)
    value = offset**2 - v / n + v + variance - 2 * np.sqrt(variance) * sd / c4
    # squares of estimates are too large by the estimates' own variance, which is subtracted; the result is
    # no less than half the spread at equality
    shift = offset**2 - v / n
    stretch = (1 - np.sqrt(variance) / np.maximum(sd, 1e-150)) ** 2 - 0.5 / (n - 1)
    spread = 4 * shift * v / n + stretch * 2 * v**2 / (n - 1) + 2.5 * v**2 / n**2
    error = math.sqrt(max(float(spread.sum()), float((1.25 * v**2 / n**2).sum())))
    return float(value.sum()), error
