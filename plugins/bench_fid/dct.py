"""A Fréchet distance per coefficient, on closed-form checkpoints the whole truth. Not FID."""

from __future__ import annotations

import numpy as np

from bench import (
    Array,
    BenchError,
    Card,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Task,
    Tensor,
    dct_data,
    fd_diagonal,
    jackknife_groups,
    to_dct,
)

REFERENCE = "gaussian-cifar10"
"""The exact checkpoint whose coefficients are the reference."""
SHAPE = (3, 32, 32)


class FdDct(Metric):
    """Fréchet distance per coefficient in the basis of ``gaussian-cifar10``, summed; images on [0, 1].

    ``sum_j (m_j - mu_j)^2 + (s_j - sd_j)^2``, without the 1/n bias: for normal coefficients
    E m^2 exceeds the square of its mean by v / n, and E s = c4(n) sd; both are taken out, so the
    value is unbiased there and can be below zero. It sees means and spectra, nothing else:
    on ``gaussian-cifar10`` that is all there is, on images it is a coarse check.
    """

    name = "fd_dct"
    value_kind = "estimate"
    min_samples = 100
    bias = "none where the coefficients are normal"

    def check(self, task: Task, shape: tuple[int, ...], samples: int) -> None:
        _check_shape(shape)

    def start(self, context: MetricContext) -> MetricState:
        return _CoefficientDistance(_reference_card(context))

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return {REFERENCE: _reference_card(context).digest()}


def _check_shape(shape: tuple[int, ...]) -> None:
    if tuple(shape) != SHAPE:
        raise BenchError(f"fd_dct takes 3x32x32 images, not {'x'.join(map(str, shape))}")


def _reference_card(context: MetricContext) -> Card:
    card: Card = context.registry.get("checkpoints", REFERENCE).thing
    return card


class _CoefficientDistance(MetricState):
    """Sums of coefficients and of their squares, in all and per batch."""

    def __init__(self, card: Card) -> None:
        data, self.color = dct_data(card)
        self.mean, self.variance = data.mean[0].ravel(), data.variance[0].ravel()
        self.n = 0
        self.sum: Array = np.zeros_like(self.mean)
        self.squares: Array = np.zeros_like(self.mean)
        self.batches: list[tuple[int, Array, Array]] = []

    def update(self, images: Tensor) -> None:
        _check_shape(tuple(images.shape[1:]))
        # sums are taken about the reference mean: no cancellation
        x = to_dct(images.double(), self.color).flatten(1).numpy() - self.mean
        self.batches.append((len(x), x.sum(axis=0), (x**2).sum(axis=0)))
        self.n += len(x)
        self.sum += self.batches[-1][1]
        self.squares += self.batches[-1][2]

    def leave_one_out(self) -> list[float]:
        values = []
        for group in jackknife_groups(len(self.batches)):
            n, total, squares = self.n, self.sum, self.squares
            for i in group:
                n_i, total_i, squares_i = self.batches[i]
                n, total, squares = n - n_i, total - total_i, squares - squares_i
            if n < 2:
                return []
            values.append(fd_diagonal(total / n, squares, n, self.variance)[0])
        return values

    def compute(self) -> MetricResult:
        value, error = fd_diagonal(self.sum / max(self.n, 1), self.squares, self.n, self.variance)
        # the plug-in error means nothing while variances are guesses
        return MetricResult(value, self.n, error if self.n >= FdDct.min_samples else None)
