"""Whether samples are of the requested class, and how near they come to that class's own data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bench import (
    Array,
    BenchError,
    Blocks,
    Card,
    Extractor,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Mixture,
    MixtureModel,
    Task,
    Tensor,
    cached_sha256,
    dct_data,
    fd_diagonal,
    share_error,
    to_dct,
    wilson_interval,
)

MIXTURE = "gmm-cifar10"
EXTRACTOR = "cifar10-features"
BY_CLASS = "cifar10-train-by-class"
"""The statistics of the extractor's features, class by class."""
CLASSES = 10
SHAPE = (3, 32, 32)
"""The shape of the images of CIFAR-10 and of `MIXTURE`."""
LOWEST = (slice(None), slice(None), slice(0, 8), slice(0, 8))
"""The 8 x 8 lowest frequencies of each plane."""


class ClassMetric(Metric):
    """A metric of images and the classes that they were requested to be of."""

    name = "class_metric"
    inputs = ("images", "labels")

    def check(self, task: Task, shape: tuple[int, ...], samples: int) -> None:
        if tuple(shape) != SHAPE:
            sizes = ["x".join(map(str, s)) for s in (SHAPE, shape)]
            raise BenchError(f"{self.name} takes {sizes[0]} images, not {sizes[1]}")


class ClassShare(ClassMetric):
    """Share of samples that ``cifar10-features`` puts in the requested class.

    Its error is ``sqrt(p (1 - p) / n)``, its interval Wilson's. That small classifier of CIFAR-10 guides no
    sampler. It puts 86 % of real test images in their own class: a higher share means samples surer than the
    data.
    """

    name = "class_share"
    direction = "higher"
    value_kind = "share"
    axis = "linear"
    min_samples = 100

    def start(self, context: MetricContext) -> MetricState:
        extract = context.features(_extractor(context), "round")

        def classify(images: Tensor) -> NDArray[np.int64]:
            probabilities = extract(images).probabilities
            assert probabilities is not None
            return np.asarray(probabilities.argmax(1).numpy())

        return ShareState(classify)

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return _extractor(context).provenance()


class ComponentShare(ClassMetric):
    """Share of samples whose most likely component of ``gmm-cifar10`` is the requested one.

    Its error is ``sqrt(p (1 - p) / n)``, its interval Wilson's. It takes the components' exact posterior
    given the 8 x 8 lowest frequencies of each plane: noise that a sampler leaves, or removes too much of,
    exceeds the variances of the finest coefficients and would decide alone. It puts 96 % of exact draws, as
    many of each component, in their own component.
    """

    name = "component_share"
    direction = "higher"
    value_kind = "share"
    axis = "linear"
    min_samples = 100

    def start(self, context: MetricContext) -> MetricState:
        import torch

        data, color = dct_data(_mixture_card(context))
        low = Mixture(data.weight, data.mean[LOWEST].copy(), data.variance[LOWEST].copy())
        model = MixtureModel(low, "cpu", torch.float64, color=None, range_=(0.0, 1.0))

        def classify(images: Tensor) -> NDArray[np.int64]:
            return np.asarray(model.component(to_dct(images.double(), color)[LOWEST]).numpy())

        return ShareState(classify)

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return {MIXTURE: _mixture_card(context).digest()}


class ClassDistance(ClassMetric):
    """A distance of each class to its own data; `MIXTURE` and CIFAR-10 have ten classes."""

    name = "class_distance"
    value_kind = "estimate"

    def check(self, task: Task, shape: tuple[int, ...], samples: int) -> None:
        super().check(task, shape, samples)
        needed = 2 * CLASSES if task.values().get("label") == "all" else 2
        if samples < needed:
            raise BenchError(
                f"{self.name} needs 2 samples or more of each class: "
                f"--samples {needed} or more, not {samples}"
            )


class FdClass(ClassDistance):
    """Fréchet distance of each class's samples to its own training images, per feature, mean over classes.

    ``sum_j (m_j - mu_j)^2 + (s_j - sd_j)^2`` over the 64 features of ``cifar10-features`` without the 1/n
    bias, as `fd_dct` computes it of coefficients. It sees means and spreads of features, not their
    correlations, and so has a meaning at the few samples per class at which ``fd_cifar10`` is all bias. Not
    FID. Its error is that of normal features, given where each class has a hundred samples.
    """

    name = "fd_class"
    bias = "none where the features of a class are normal"

    def start(self, context: MetricContext) -> MetricState:
        extract = context.features(_extractor(context), "round")
        mean, variance = class_moments(by_class_path(context))
        return DistanceState(lambda images: extract(images).rows.double().numpy(), mean, variance)

    def provenance(self, context: MetricContext) -> dict[str, str]:
        path = by_class_path(context)
        class_moments(path)
        return _extractor(context).provenance() | {BY_CLASS: cached_sha256(path)}


class FdComponent(ClassDistance):
    """Fréchet distance of each component's samples to that component of ``gmm-cifar10``, per coefficient.

    The mean over the components; images on [0, 1]. As `fd_dct`, without the 1/n bias, which vanishes at
    guidance scale 1, where the coefficients are normal.
    """

    name = "fd_component"
    bias = "none where the coefficients are normal"

    def start(self, context: MetricContext) -> MetricState:
        data, color = dct_data(_mixture_card(context))
        count = len(data.weight)

        def rows(images: Tensor) -> Array:
            return np.asarray(to_dct(images.double(), color).flatten(1).numpy())

        return DistanceState(rows, data.mean.reshape(count, -1), data.variance.reshape(count, -1))

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return {MIXTURE: _mixture_card(context).digest()}


def _extractor(context: MetricContext) -> Extractor:
    return context.extractor(EXTRACTOR)


def _mixture_card(context: MetricContext) -> Card:
    card: Card = context.registry.get("checkpoints", MIXTURE).thing
    return card


def by_class_path(context: MetricContext) -> Path:
    """The file of the features' moments of each class; `BenchError` where it is missing."""
    path = _extractor(context).reference(BY_CLASS, context.emit)
    if path is None:
        raise BenchError(
            f"the statistics {BY_CLASS} of {EXTRACTOR} are missing: restore them from the project"
        )
    return path


def class_moments(path: Path) -> tuple[Array, Array]:
    """Mean and variance of the features of each class's images, (classes, d)."""
    try:
        cached_sha256(path)  # an error for a FIFO, which numpy would wait for
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            json.loads(str(arrays["card"]))
            return np.asarray(arrays["mean"]), np.asarray(arrays["variance"])
    except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
        raise BenchError(f"{path} is missing or damaged: restore it from the project") from error


def add_counts(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """Hits and samples of two neighboring blocks."""
    return a[0] + b[0], a[1] + b[1]


class ShareState(MetricState):
    """Counts samples in their requested class by label and batch; ``classify`` gives each image a class."""

    def __init__(self, classify: Callable[[Tensor], NDArray[np.int64]]) -> None:
        self.classify = classify
        self.batches = Blocks(add_counts)
        """Hits and samples of each block."""
        self.by_label: dict[int, list[int]] = {}
        """Hits and samples of each label."""

    def update(self, images: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        if not bool(images.isfinite().all()):
            raise BenchError("a share of classes takes finite images")
        requested = labels.numpy()
        hits = self.classify(images) == requested
        self.batches.add((int(hits.sum()), len(hits)))
        for k in np.unique(requested):
            counts = self.by_label.setdefault(int(k), [0, 0])
            counts[0] += int(hits[requested == k].sum())
            counts[1] += int((requested == k).sum())

    def compute(self) -> MetricResult:
        if not self.batches.parts:
            raise BenchError("a share of classes needs at least one sample")
        hits, n = (sum(column) for column in zip(*self.batches.parts, strict=True))
        by_label = {str(k): hits / n for k, (hits, n) in sorted(self.by_label.items())}
        details = {"by_label": by_label, "interval": wilson_interval(hits, n)}
        return MetricResult(hits / n, n, share_error(hits, n), details=details)

    def leave_one_out(self) -> list[float]:
        hits, n = (sum(column) for column in zip(*self.batches.parts, strict=True))
        parts = [self.batches.parts[group.start : group.stop] for group in self.batches.groups()]
        return [(hits - sum(h for h, _ in part)) / (n - sum(k for _, k in part)) for part in parts]


class DistanceState(MetricState):
    """`fd_diagonal` of each label's rows to that label's mean and variance (classes, d)."""

    def __init__(self, rows: Callable[[Tensor], Array], mean: Array, variance: Array) -> None:
        self.rows, self.mean, self.variance = rows, mean, variance
        self.n = np.zeros(len(mean), dtype=np.int64)
        self.sum, self.squares = np.zeros_like(mean), np.zeros_like(mean)

    def update(self, images: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        requested = labels.numpy()
        if requested.max() >= len(self.mean):
            raise BenchError(
                f"a sample is of class {requested.max()}, the reference has classes 0 to {len(self.mean) - 1}"
            )
        rows = self.rows(images)
        for k in np.unique(requested):
            # about the reference mean: no cancellation
            x = rows[requested == k] - self.mean[k]
            self.n[k] += len(x)
            self.sum[k] += x.sum(axis=0)
            self.squares[k] += (x**2).sum(axis=0)

    def compute(self) -> MetricResult:
        present = np.flatnonzero(self.n)
        smallest = int(self.n[present].min(initial=self.n.sum()))
        if smallest < 2:
            raise BenchError("a Fréchet distance by class needs at least 2 samples of each: raise --samples")
        distances = [
            fd_diagonal(self.sum[k] / self.n[k], self.squares[k], int(self.n[k]), self.variance[k])
            for k in present
        ]
        values, errors = np.array(distances).T
        few = smallest < 100
        return MetricResult(
            float(values.mean()),
            int(self.n.sum()),
            None if few else float(np.sqrt((errors**2).sum())) / len(present),
            "fewer than 100 samples of a class" if few else "",
            {"by_label": {str(k): float(v) for k, v in zip(present, values, strict=True)}},
        )
