"""Fréchet distances between Gaussians."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError
from bench.types import Array

if TYPE_CHECKING:
    pass


def frechet_distance(mean: Array, covariance: Array, mean_: Array, covariance_: Array) -> float:
    """``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`` (Dowson and Landau 1982, eq. 4), by eigenvalues.

    With ``C = L L^T`` and ``C' = L' L'^T``, ``tr (C C')^(1/2)`` is the sum of the singular values of
    ``L^T L'``, whose squares are the eigenvalues of ``L^T C' L``; the factors have as many columns as the
    covariances have rank, so that those of fewer samples than features add no noise. Means (d,),
    covariances (d, d); `BenchError` for another d, and for negative eigenvalues.
    """
    if mean.shape != mean_.shape:
        raise BenchError(
            f"statistics of {mean_.shape[0]} features against {mean.shape[0]}: not the same extractor"
        )
    difference = mean - mean_
    trace = float(np.trace(covariance) + np.trace(covariance_))
    return float(difference @ difference) + trace - 2 * _cross(_factor(covariance), _factor(covariance_))


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
    # an eigenvalue is off by some eps of the greatest one, its root by that over the root: where this
    # may tell, the singular values themselves, which take longer
    least = np.finfo(float).tiny
    off = np.finfo(float).eps * squares[-1:] / np.sqrt(np.maximum(squares, least))
    roots = np.sqrt(np.maximum(squares, 0.0)).sum()
    if off.sum() <= 1e-8 * roots:
        return float(roots)
    return float(svdvals(product, check_finite=False).sum())


def fd_diagonal(offset: Array, squares: Array, n: int, variance: Array) -> tuple[float, float]:
    """Unbiased diagonal Fréchet distance to variances ``variance``, and its standard error.

    ``offset`` is the sample mean and ``squares`` the sum of squares, both about the reference mean.
    The error is the delta method's for normal coefficients, plug-in.
    """
    if n < 2:
        raise BenchError(f"a variance needs at least 2 samples, not {n}")
    v = (squares - n * offset**2) / (n - 1)
    c4 = math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    sd = np.sqrt(v)
    value = offset**2 - v / n + v + variance - 2 * np.sqrt(variance) * sd / c4
    # squares of what is estimated come out too large by their own variance, which is taken off; half the
    # spread at equality is the floor of what is left
    shift = offset**2 - v / n
    stretch = (1 - np.sqrt(variance) / np.maximum(sd, 1e-300)) ** 2 - 0.5 / (n - 1)
    spread = 4 * shift * v / n + stretch * 2 * v**2 / (n - 1) + 2.5 * v**2 / n**2
    error = math.sqrt(max(float(spread.sum()), float((1.25 * v**2 / n**2).sum())))
    return float(value.sum()), error
