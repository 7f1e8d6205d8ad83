"""Role Metric, streaming moments, and the Fréchet distance between Gaussians."""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from bench.errors import BenchError
from bench.params import Plugin
from bench.sde import Array

if TYPE_CHECKING:
    from torch import Tensor, device

    from bench.tasks import Task


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
    """A measurement under way: samples stream in, a `Reading` comes out."""

    @abstractmethod
    def add(self, images: Tensor, /) -> None:
        """Take in images (B, C, H, W) on [0, 1], not clipped, float32.

        Or what else `Metric.reads` names, of several a tensor for each: ``add(self, *left)``.
        """

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
    bias: ClassVar[str] = ""
    """What is known of the value's bias at n samples, in a few words."""
    reads: ClassVar[tuple[str, ...]] = ("images",)
    """What it takes in of what a run's task leaves per sample (`Task.leaves`)."""
    order_matters: ClassVar[bool] = False
    """Whether the value depends on the order of the samples, as one that is taken over splits of them."""

    @property
    def label(self) -> str:
        """What tables and records call it: another label for all that may not share a column.

        Default: the name with the parameters that differ from their defaults.
        """
        defaults = {p.name: p.default for p in self.parameters()}
        return "-".join([self.name, *(slug(v) for k, v in self.values().items() if v != defaults[k])])

    def check(self, task: Task, samples: int) -> None:
        """`BenchError` where it has no value on so few samples of a task: before they are made."""

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


def slug(value: Any) -> str:
    """A parameter's value as part of a file name: letters, digits, dot, underscore."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")


def to_uint8(images: Tensor, rounding: Literal["round", "truncate"] = "round") -> Tensor:
    """Images on [0, 1] -> uint8: clipped, times 255, rounded or cut off.

    Bytes k handed in as float32(k / 255) come back as k by either: 255 float32(k / 255), in float32, is k for
    each of the 256.
    """
    import torch

    scaled = images.clamp(0, 1).mul(255)
    return (scaled.round() if rounding == "round" else scaled).to(torch.uint8)
