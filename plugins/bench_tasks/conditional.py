"""Metrics of completions: is the known part kept, and are they draws of the conditional distribution?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
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
    Mixture,
    Task,
    Tensor,
    dct_data,
    from_dct,
    jackknife_groups,
    to_dct,
)
from bench_tasks.known import rotate_channels

INPUTS = ("images", "original", "known", "axes")
GAUSSIAN = "gaussian-cifar10"
SHAPE = (3, 32, 32)
"""The shape of the images of `GAUSSIAN`."""


class KnownError(Metric):
    """Largest deviation of the known part of any completion from the original's; images on [0, 1].

    A run ends by putting the known part in as it is, so that rounding errors of float32 alone remain, about
    1e-6.
    """

    name = "known_error"
    value_kind = "distance"
    inputs = INPUTS
    min_samples = 1

    def start(self, context: MetricContext) -> MetricState:
        del context
        return DeviationState()


class DeviationState(MetricState):
    """`KnownError` under way: the largest deviation so far."""

    def __init__(self) -> None:
        self.n, self.largest = 0, 0.0

    def update(self, images: Tensor, original: Tensor, known: Tensor, axes: Tensor) -> None:  # type: ignore[override]
        difference = rotate_channels(axes[0].double(), images.double() - original.double())
        if not bool(difference.isfinite().all()):
            raise BenchError("known_error takes finite images")
        self.n += len(images)
        self.largest = max(self.largest, float((difference * known).abs().max()))

    def compute(self) -> MetricResult:
        if not self.n:
            raise BenchError("known_error needs at least one sample")
        return MetricResult(self.largest, self.n)


@dataclasses.dataclass(frozen=True)
class Conditional:
    """A Gaussian's conditional distribution given a known part, along its principal axes.

    ``gain`` (u, D) maps ``x - mu``, coefficients of a completion about the mean, to its position about the
    conditional mean on each of the u axes; there true completions are independent N(0, ``variance``) (u,).
    """

    gain: Array
    variance: Array


def conditional(variance: Array, color: Array, axes: Array, known: NDArray[np.bool_]) -> Conditional:
    """The `Conditional` of N(mu, diag(variance)) in the DCT and color basis.

    With w = R x the decoupled pixels, R orthogonal, and U the unknown ones of them, the precision of w is
    ``L = R diag(1 / variance) R^T``. Given the known ones K, w_U has the covariance ``L_UU^-1`` and the mean
    ``mu_U - L_UU^-1 L_UK (w_K - mu_K)``, so that its position about its mean is ``L_UU^-1 (L (w - mu))_U``.

    Args:
        variance: Variances of the coefficients, (C, H, W).
        color: Rotation of the color channels of the coefficients, (C, C).
        axes: Rotation that decouples the channels, (C, C).
        known: Which decoupled pixels are known, (C, H, W).
    """
    import torch

    count = variance.size
    every = from_dct(torch.eye(count, dtype=torch.float64).view(count, *variance.shape), color)
    rows = rotate_channels(torch.from_numpy(axes), every).flatten(1).numpy().T[~known.ravel()]
    weighted = rows / variance.ravel()
    precision, directions = np.linalg.eigh(weighted @ rows.T)
    return Conditional((directions / precision).T @ weighted, 1 / precision)


class ConditionalFd(Metric):
    """Fréchet distance between the completions of an image and the exact conditional distribution that
    ``gaussian-cifar10`` has given what is known, averaged over images; images on [0, 1].

    Per principal axis j of the conditional covariance, and summed: ``E (m_j - mu_j)^2 + (s_j - sd_j)^2``,
    with the mean m over the completions of one image and the variance s^2 about it, pooled over images (for
    a Gaussian it is the same whatever is known). The 1/n biases are subtracted: E m^2 exceeds the square of
    its mean by s^2 / K of K completions, and E s is c4 times the root of its square. 0 for draws of the
    conditional distribution. On ``gaussian-cifar10`` it is the bias of the sampler and of how it was
    conditioned, on other checkpoints the distance to a Gaussian. Its error is that over images.
    """

    name = "conditional_fd"
    value_kind = "estimate"
    inputs = INPUTS
    min_samples = 100
    bias = "none where the completions are normal"

    def check(self, task: Task, shape: tuple[int, ...], samples: int) -> None:
        _require(shape, SHAPE)

    def start(self, context: MetricContext) -> MetricState:
        def solve(variance: Array, color: Array, axes: Array, known: NDArray[np.bool_]) -> Conditional:
            # 3072 coefficients take seconds: runs of one mask share them
            key = tuple(array.tobytes() for array in (variance, color, axes, known))
            return context.share(self.name, key, lambda: conditional(variance, color, axes, known))

        return CompletionState(*dct_data(_card(context)), solve)

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return {GAUSSIAN: _card(context).digest()}


def _card(context: MetricContext) -> Card:
    card: Card = context.registry.get("checkpoints", GAUSSIAN).thing
    return card


def _require(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(shape) != tuple(expected):
        sizes = ["x".join(map(str, s)) for s in (expected, shape)]
        raise BenchError(f"conditional_fd takes {sizes[0]} images, not {sizes[1]}")


class CompletionState(MetricState):
    """`ConditionalFd` under way. Memory: four bytes per axis and image.

    Args:
        data: A Gaussian, a mixture of one component, of images on [0, 1] in the basis of ``color``.
        color: Rotation of the color channels, (C, C).
        solve: `conditional`, or a function that remembers its results.
    """

    def __init__(self, data: Mixture, color: Array, solve: Callable[..., Conditional] = conditional) -> None:
        self.data, self.color, self.solve = data, color, solve
        self.each = 0
        self.part: tuple[bytes, bytes] | None = None
        """Axes and mask of the first image."""
        self.truth: Conditional | None = None
        self.batches: list[tuple[Array, Any]] = []
        """For each image the squared distance of its mean (n,), and the variances about it (n, u)."""

    def update(self, images: Tensor, original: Tensor, known: Tensor, axes: Tensor) -> None:  # type: ignore[override]
        _require(tuple(images.shape[1:]), self.data.variance.shape[1:])
        rotation, mask = axes[0].double().numpy(), known[0].numpy()
        part = (rotation.tobytes(), mask.tobytes())
        if self.part not in (None, part) or not bool((known == known[:1]).all()):
            raise BenchError("conditional_fd takes images of which the same is known")
        if self.truth is None:
            self.truth = self.solve(self.data.variance[0], self.color, rotation, mask)
            self.part = part
        each = self._completions(original)
        x = to_dct(images.double(), self.color).numpy() - self.data.mean[0]
        offset = (x.reshape(len(x), -1) @ self.truth.gain.T).reshape(len(x) // each, each, -1)
        squares = (offset.mean(axis=1) ** 2).sum(axis=1)
        self.batches.append((squares, offset.var(axis=1, ddof=1).astype(np.float32)))

    def _completions(self, original: Tensor) -> int:
        """Number of completions of each image; those of one original follow each other."""
        import torch

        counts = torch.unique_consecutive(original.flatten(1), dim=0, return_counts=True)[1]
        self.each = self.each or int(counts.min())
        if self.each < 2 or bool((counts % self.each).any()):
            raise BenchError("conditional_fd takes the same number of completions, 2 or more, of each image")
        return self.each

    def leave_one_out(self) -> list[float]:
        values = []
        for group in jackknife_groups(len(self.batches)):
            rest = [batch for i, batch in enumerate(self.batches) if i not in group]
            values.append(self._over(rest)[0])
        return values

    def compute(self) -> MetricResult:
        if self.truth is None:
            raise BenchError("conditional_fd needs completions")
        value, error, parts = self._over(self.batches)
        n = self.each * sum(len(squares) for squares, _ in self.batches)
        return MetricResult(value, n, error if n >= ConditionalFd.min_samples else None, details=parts)

    def _over(self, batches: list[tuple[Array, Any]]) -> tuple[float, float, dict[str, float]]:
        """The value over some batches, its standard error, and the terms it is the sum of."""
        assert self.truth is not None
        squares = np.concatenate([squares for squares, _ in batches])
        images, true = len(squares), self.truth.variance
        v = sum(variances.sum(axis=0, dtype=np.float64) for _, variances in batches) / images
        freedom = images * (self.each - 1)
        c4 = math.sqrt(2 / freedom) * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
        shift = float(squares.mean() - v.sum() / self.each)
        stretch = float((v + true - 2 * np.sqrt(true * v) / c4).sum())
        # to first order the value is a mean over images of squares and variances, v_j weighted by its slope
        slope = 1 - 1 / self.each - np.sqrt(true / np.maximum(v, 1e-300))
        terms = squares + np.concatenate([variances @ slope for _, variances in batches])
        error = float(terms.std(ddof=1)) / math.sqrt(images) if images > 1 else math.nan
        parts = {"mean": shift, "spread": stretch, "conditional_variance": float(true.sum())}
        return shift + stretch, error, parts
