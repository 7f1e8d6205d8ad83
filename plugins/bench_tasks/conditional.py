"""Metrics of completions: is the known part kept, and are they draws of the conditional distribution?"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import (
    Array,
    BenchError,
    Card,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Tensor,
    jackknife_groups,
)
from bench.closed_form.dct import from_basis, to_basis
from bench.closed_form.mixture import Mixture
from bench.files import REGISTRY
from bench_tasks.known import turned

READS = ("images", "original", "known", "axes")


class KnownError(Metric):
    """Largest deviation of the known part of any completion from the original's; images on [0, 1].

    It is put in at the end as it is: rounding errors of float32 alone are left, some 1e-6.
    """

    name = "known_error"
    inputs = READS
    min_samples = 1

    def start(self, context: MetricContext) -> MetricState:
        return _Deviation()


class _Deviation(MetricState):
    def __init__(self) -> None:
        self.n, self.largest = 0, 0.0

    def update(self, images: Tensor, original: Tensor, known: Tensor, axes: Tensor) -> None:  # type: ignore[override]
        off = turned(axes[0].double(), images.double() - original.double())
        self.n += len(images)
        self.largest = max(self.largest, float((off * known).abs().max()))

    def compute(self) -> MetricResult:
        return MetricResult(self.largest, self.n)


@dataclasses.dataclass(frozen=True)
class Conditional:
    """A Gaussian's conditional distribution given a known part, along its principal axes.

    ``gain`` (u, D) maps ``x - mu``, coefficients of a completion about the mean, to where it lies about the
    conditional mean on each of the u axes; there true completions are independent N(0, ``variance``) (u,).
    """

    gain: Array
    variance: Array


def conditional(variance: Array, colour: Array, axes: Array, known: NDArray[np.bool_]) -> Conditional:
    """The `Conditional` of N(mu, diag(variance)) in the DCT and colour basis.

    With w = R x the decoupled pixels, R orthogonal, and U the unknown ones of them, the precision of w is
    ``L = R diag(1 / variance) R^T``; given the known ones, w_U has the covariance ``L_UU^-1`` and the mean
    ``mu_U - L_UU^-1 L_UK (w_K - mu_K)``, so that it lies about its mean at ``L_UU^-1 (L (w - mu))_U``.

    variance and known (C, H, W), colour and axes (C, C).
    """
    import torch

    count = variance.size
    every = from_basis(torch.eye(count, dtype=torch.float64).view(count, *variance.shape), colour)
    rows = turned(torch.from_numpy(axes), every).flatten(1).numpy().T[~known.ravel()]
    weighted = rows / variance.ravel()
    precision, directions = np.linalg.eigh(weighted @ rows.T)
    return Conditional((directions / precision).T @ weighted, 1 / precision)


class ConditionalFd(Metric):
    """Fréchet distance between the completions of an image and the exact conditional distribution that
    ``gaussian-cifar10`` has given what is known, averaged over images; images on [0, 1].

    Per principal axis j of the conditional covariance, and summed: ``E (m_j - mu_j)^2 + (s_j - sd_j)^2``, the
    mean m over the completions of one image, the variance s^2 about it pooled over images (for a Gaussian it
    is the same whatever is known). The 1/n biases are taken out: E m^2 exceeds the square of its mean by
    s^2 / K of K completions, and E s is c4 times the root of its square. 0 for draws of the conditional
    distribution; on ``gaussian-cifar10`` it is the bias of the sampler and of how it was conditioned, on
    other checkpoints the distance to a Gaussian. Its error is that over images.
    """

    name = "conditional_fd"
    inputs = READS
    min_samples = 100
    bias = "none where the completions are normal"

    def start(self, context: MetricContext) -> MetricState:
        from bench.checkpoints.exact import mixture

        return Completions(*mixture(_card()))

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return {"gaussian-cifar10": _card().files[0].sha256 or ""}


def _card() -> Card:
    return Card.read(REGISTRY / "cards" / "gaussian-cifar10.toml")


@functools.lru_cache(maxsize=2)
def _kept(shape: tuple[int, ...], variance: bytes, colour: bytes, axes: bytes, known: bytes) -> Conditional:
    """`conditional` of arrays as bytes: 3072 coefficients take seconds, and cells share them."""
    channels = (shape[0], shape[0])
    return conditional(
        np.frombuffer(variance).reshape(shape),
        np.frombuffer(colour).reshape(channels).copy(),
        np.frombuffer(axes).reshape(channels).copy(),
        np.frombuffer(known, np.bool_).reshape(shape),
    )


class Completions(MetricState):
    """`ConditionalFd` under way, on a Gaussian of one component on [0, 1] in the basis of ``colour``.

    Memory: four bytes per axis and image.
    """

    def __init__(self, data: Mixture, colour: Array) -> None:
        self.data, self.colour = data, colour
        self.each = 0
        self.given: tuple[bytes, bytes] | None = None
        self.truth: Conditional | None = None
        self.batches: list[tuple[Array, Any]] = []
        """Of each image the squared distance of its mean (n,), and the variances about it (n, u)."""

    def update(self, images: Tensor, original: Tensor, known: Tensor, axes: Tensor) -> None:  # type: ignore[override]
        shape = self.data.variance.shape[1:]
        if tuple(images.shape[1:]) != shape:
            sizes = ["x".join(map(str, s)) for s in (shape, images.shape[1:])]
            raise BenchError(f"conditional_fd takes {sizes[0]} images, not {sizes[1]}")
        given = (axes[0].double().numpy().tobytes(), known[0].numpy().tobytes())
        if self.given not in (None, given) or not bool((known == known[:1]).all()):
            raise BenchError("conditional_fd takes images of which the same is known")
        if self.truth is None:
            self.truth = _kept(shape, self.data.variance[0].tobytes(), self.colour.tobytes(), *given)
            self.given = given
        each = self._completions(original)
        x = to_basis(images.double(), self.colour).numpy() - self.data.mean[0]
        off = (x.reshape(len(x), -1) @ self.truth.gain.T).reshape(len(x) // each, each, -1)
        squares = (off.mean(axis=1) ** 2).sum(axis=1)
        self.batches.append((squares, off.var(axis=1, ddof=1).astype(np.float32)))

    def _completions(self, original: Tensor) -> int:
        """How many completions there are of each image: rows of one original follow each other."""
        import torch

        counts = torch.unique_consecutive(original.flatten(1), dim=0, return_counts=True)[1]
        self.each = self.each or int(counts.min())
        if self.each < 2 or bool((counts % self.each).any()):
            raise BenchError("conditional_fd takes the same number of completions, 2 or more, of each image")
        return self.each

    def leave_one_out(self) -> list[float]:
        found = []
        for group in jackknife_groups(len(self.batches)):
            rest = [batch for i, batch in enumerate(self.batches) if i not in group]
            found.append(self._over(rest)[0])
        return found

    def compute(self) -> MetricResult:
        if self.truth is None:
            raise BenchError("conditional_fd needs completions")
        value, error, parts = self._over(self.batches)
        n = self.each * sum(len(squares) for squares, _ in self.batches)
        return MetricResult(value, n, error if n >= ConditionalFd.min_samples else None, details=parts)

    def _over(self, batches: list[tuple[Array, Any]]) -> tuple[float, float, dict[str, float]]:
        """The value over these batches, its standard error, and what it consists of."""
        assert self.truth is not None
        squares = np.concatenate([squares for squares, _ in batches])
        images, true = len(squares), self.truth.variance
        v = sum(each.sum(axis=0, dtype=np.float64) for _, each in batches) / images
        freedom = images * (self.each - 1)
        c4 = math.sqrt(2 / freedom) * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
        shift = float(squares.mean() - v.sum() / self.each)
        stretch = float((v + true - 2 * np.sqrt(true * v) / c4).sum())
        # to first order the value is a mean over images of squares and variances, v_j weighted by its slope
        slope = 1 - 1 / self.each - np.sqrt(true / np.maximum(v, 1e-300))
        terms = squares + np.concatenate([each @ slope for _, each in batches])
        error = float(terms.std(ddof=1)) / math.sqrt(images) if images > 1 else math.nan
        parts = {"mean": shift, "spread": stretch, "conditional_variance": float(true.sum())}
        return shift + stretch, error, parts
