"""A Fréchet distance per coefficient, on closed-form checkpoints the whole truth. Not FID."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bench import (
    Array,
    BenchError,
    Card,
    Images,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Tensor,
    dct_data,
    fd_diagonal,
    jackknife_groups,
    param,
    to_dct,
)
from bench_fid.items import check_dataset_shape, check_item_shape, check_shape, sizes

CIFAR10 = "gaussian-cifar10"
"""The exact checkpoint whose coefficients stand for those of CIFAR-10's training images."""
OPPONENT = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])
"""The rotation of color channels where the reference is images: gray, red - green, red + green - 2 blue."""


class FdDct(Metric):
    """Fréchet distance per DCT coefficient, summed; images on [0, 1] of any H x W, of 1 or 3 channels.

    ``sum_j (m_j - mu_j)^2 + (s_j - sd_j)^2``, without the 1/n bias: for normal coefficients
    E m^2 exceeds the square of its mean by v / n, and E s = c4(n) sd; both are taken out, of the samples' and
    of the reference's moments, so the value is unbiased there and can be below zero. It sees means and
    spectra, nothing else: on a Gaussian checkpoint that is all there is, on images it is a coarse check.

    The basis is the DCT-II of each color plane after a rotation of the color channels: of an exact checkpoint
    its own, and its moments are exact; of images the opponent axes (gray, red - green, red + green - 2 blue).
    One channel is not rotated. The error is that over samples, for a fixed reference.
    """

    name = "fd_dct"
    value_kind = "estimate"
    min_samples = 100
    bias = "none where the coefficients are normal"

    reference: str = param(
        default=CIFAR10,
        help="exact checkpoint, data set, images or run; gaussian-cifar10 is fitted to cifar10-train and "
        "stands for it",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reference == "cifar10-train":
            object.__setattr__(self, "reference", CIFAR10)

    @property
    def fewest_samples(self) -> int:
        return 2

    def check_reference(self, shape: tuple[int, ...], context: MetricContext) -> None:
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise BenchError(f"it takes images of 1 or 3 channels, not {sizes(shape)}")
        card = self._card(context)
        if card is None:
            check_dataset_shape(self.reference, shape, context)
            check_item_shape(self._images(context), shape)
        else:
            check_shape(card.name, card.shape, shape)

    def start(self, context: MetricContext) -> MetricState:
        card = self._card(context)
        if card is not None:
            return _CoefficientDistance(moments_of_card(card))
        images = self._images(context)
        key = tuple(self.provenance(context).items())
        return _CoefficientDistance(context.share(self.name, key, lambda: moments_of_images(images)))

    def provenance(self, context: MetricContext) -> dict[str, str]:
        card = self._card(context)
        if card is not None:
            return {self.reference: card.digest()}
        images = self._images(context)
        return {self.reference: f"{images.sha256(context.emit)}, decoder {images.decoder}"}

    def _card(self, context: MetricContext) -> Card | None:
        """The reference, where it is an exact checkpoint with independent coefficients; None for images."""
        if self.reference not in context.registry.names("checkpoints"):
            return None
        card: Card = context.registry.get("checkpoints", self.reference).thing
        # a card in data coordinates is opened as its draws
        return card if card.exact and card.basis == "dct" else None

    def _images(self, context: MetricContext) -> Images:
        try:
            return context.images(self.reference)
        except BenchError as error:
            raise BenchError(f"its reference can't be read: {error}") from error


class Coefficients(NamedTuple):
    """Moments of a reference's coefficients, ``mean`` and ``variance`` (C H W,), in the basis of ``color``.

    ``n`` is the number of images that they were measured on; None where they are exact.
    """

    mean: Array
    variance: Array
    color: Array
    shape: tuple[int, ...]
    n: int | None


def moments_of_card(card: Card) -> Coefficients:
    """Exact moments: ``sum_k w_k m_k``, and ``sum_k w_k (v_k + m_k^2)`` less its square."""
    data, color = dct_data(card)
    mean, variance = data.mean[0], data.variance[0]
    if len(data.weight) > 1:
        mean = np.tensordot(data.weight, data.mean, 1)
        variance = np.tensordot(data.weight, data.variance + (data.mean - mean) ** 2, 1)
    return Coefficients(mean.ravel(), variance.ravel(), color, tuple(card.shape), None)


def moments_of_images(images: Images) -> Coefficients:
    """Mean and unbiased variance of images' coefficients, in one pass."""
    color = OPPONENT if images.shape[0] == 3 else np.eye(1)
    n, about = 0, np.zeros(math.prod(images.shape))
    total, squares = np.zeros_like(about), np.zeros_like(about)
    for batch in images:
        x = to_dct(batch.double(), color).flatten(1).numpy()
        if not n:
            about = x.mean(axis=0)  # sums about the first batch's mean: no cancellation
        total += (x - about).sum(axis=0)
        squares += ((x - about) ** 2).sum(axis=0)
        n += len(x)
    variance = np.maximum(squares - total**2 / n, 0) / (n - 1)
    return Coefficients(about + total / n, variance, color, tuple(images.shape), n)


class _CoefficientDistance(MetricState):
    """Sums of coefficients and of their squares, in all and per batch."""

    def __init__(self, reference: Coefficients) -> None:
        self.reference = reference
        self.n = 0
        self.sum: Array = np.zeros_like(reference.mean)
        self.squares: Array = np.zeros_like(reference.mean)
        self.batches: list[tuple[int, Array, Array]] = []

    def update(self, images: Tensor) -> None:
        if tuple(images.shape[1:]) != self.reference.shape:
            raise BenchError(
                f"fd_dct takes {sizes(self.reference.shape)} images, not {sizes(tuple(images.shape[1:]))}"
            )
        # sums are taken about the reference mean: no cancellation
        x = to_dct(images.double(), self.reference.color).flatten(1).numpy() - self.reference.mean
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
            values.append(self._distance(total, squares, n)[0])
        return values

    def compute(self) -> MetricResult:
        value, error = self._distance(self.sum, self.squares, self.n)
        # the plug-in error means nothing while variances are guesses
        return MetricResult(value, self.n, error if self.n >= FdDct.min_samples else None)

    def _distance(self, total: Array, squares: Array, n: int) -> tuple[float, float]:
        """The unbiased distance and its error, from sums about the reference mean over n images."""
        variance, m = self.reference.variance, self.reference.n
        if m is None:
            return fd_diagonal(total / max(n, 1), squares, n, variance)
        # the reference's mean and deviation are estimates too: E mu^2 is too large by V / m, E sd is c4(m) sd
        larger = variance / _c4(m) ** 2
        value, error = fd_diagonal(total / max(n, 1), squares, n, larger)
        return value - float((larger - variance + variance / m).sum()), error


def _c4(n: int) -> float:
    """``E s / sd`` of n normal numbers with the unbiased variance s^2."""
    return math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
