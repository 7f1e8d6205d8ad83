"""Whether samples are of the class that was asked for, and how near they come to that class's own data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

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
    Task,
    Tensor,
    fd_diagonal,
    jackknife_groups,
)
from bench.closed_form.dct import to_basis
from bench.files import REGISTRY

MIXTURE = "gmm-cifar10"
EXTRACTOR = "cifar10-features"
BY_CLASS = REGISTRY / "stats" / "cifar10-train-by-class_cifar10-features.npz"
CLASSES = 10
LOWEST = (slice(None), slice(None), slice(0, 8), slice(0, 8))
"""The 8 x 8 lowest frequencies of each plane."""


class _ClassMetric(Metric):
    inputs = ("images", "labels")


class ClassShare(_ClassMetric):
    """Share of samples to which ``cifar10-features`` gives the class asked for.

    Its error is ``sqrt(p (1 - p) / n)``. That small classifier of CIFAR-10 guides no sampler. Of real test
    images it puts 86 % where they belong: a higher share means samples surer than the data.
    """

    name = "class_share"
    direction = "higher"
    min_samples = 100

    def start(self, context: MetricContext) -> MetricState:
        extract = context.features(context.extractor(EXTRACTOR), "round")

        def verdict(images: Tensor) -> NDArray[np.int64]:
            probabilities = extract(images).probabilities
            assert probabilities is not None
            return np.asarray(probabilities.argmax(1).numpy())

        return _Share(verdict)

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return context.extractor(EXTRACTOR).provenance()


class ComponentShare(_ClassMetric):
    """Share of samples whose most likely component of ``gmm-cifar10`` is the one asked for.

    Its error is ``sqrt(p (1 - p) / n)``. By the exact posterior of the components given the 8 x 8 lowest
    frequencies of each plane: what noise a sampler leaves, or takes away too much, exceeds the finest
    coefficients' variances and would decide alone. Of exact draws, of each component as many, it puts
    96 % where they belong.
    """

    name = "component_share"
    direction = "higher"
    min_samples = 100

    def start(self, context: MetricContext) -> MetricState:
        import torch

        from bench.checkpoints.exact import mixture
        from bench.closed_form.mixture import Mixture, MixtureModel

        data, colour = mixture(_mixture_card())
        low = Mixture(data.weight, data.mean[LOWEST].copy(), data.variance[LOWEST].copy())
        model = MixtureModel(low, "cpu", torch.float64, colour=None, range_=(0.0, 1.0))

        def verdict(images: Tensor) -> NDArray[np.int64]:
            return np.asarray(model.component(to_basis(images.double(), colour)[LOWEST]).numpy())

        return _Share(verdict)

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return {MIXTURE: _mixture_card().files[0].sha256 or ""}


class _ByClass(_ClassMetric):
    """A distance of each class to its own data; there are ten of them, here and on CIFAR-10."""

    def check(self, task: Task, shape: tuple[int, ...], samples: int) -> None:
        least = 2 * CLASSES if task.values().get("label") == "all" else 2
        if samples < least:
            raise BenchError(
                f"{self.name} needs 2 samples or more of each class: --samples {least} or more, not {samples}"
            )


class FdClass(_ByClass):
    """Fréchet distance of each class's samples to its own training images, per feature, mean over classes.

    ``sum_j (m_j - mu_j)^2 + (s_j - sd_j)^2`` over the 64 features of ``cifar10-features`` without the 1/n
    bias, as `fd_dct` has it of coefficients: it sees means and spreads of features, not their correlations,
    and so can be read at the few samples per class at which ``fd_cifar10`` is all bias. Not FID. Its error is
    that of normal features, where each class has a hundred samples.
    """

    name = "fd_class"
    bias = "none where the features of a class are normal"

    def start(self, context: MetricContext) -> MetricState:
        extract = context.features(context.extractor(EXTRACTOR), "round")
        return _Distance(lambda images: extract(images).rows.double().numpy(), *_by_class(BY_CLASS))

    def provenance(self, context: MetricContext) -> dict[str, str]:
        from bench.cache import hashed

        _by_class(BY_CLASS)
        return context.extractor(EXTRACTOR).provenance() | {"cifar10-train-by-class": hashed(BY_CLASS)}


class FdComponent(_ByClass):
    """Fréchet distance of each component's samples to that component of ``gmm-cifar10``, per coefficient.

    The mean over the components; images on [0, 1]. As `fd_dct`, without the 1/n bias, which vanishes at
    guidance scale 1, where the coefficients are normal.
    """

    name = "fd_component"
    bias = "none where the coefficients are normal"

    def start(self, context: MetricContext) -> MetricState:
        from bench.checkpoints.exact import mixture

        data, colour = mixture(_mixture_card())
        count = len(data.weight)

        def rows(images: Tensor) -> Array:
            return np.asarray(to_basis(images.double(), colour).flatten(1).numpy())

        return _Distance(rows, data.mean.reshape(count, -1), data.variance.reshape(count, -1))

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return {MIXTURE: _mixture_card().files[0].sha256 or ""}


def _mixture_card() -> Card:
    return Card.read(REGISTRY / "cards" / f"{MIXTURE}.toml")


def _by_class(path: Path) -> tuple[Array, Array]:
    """Mean and variance of the features of each class's images, (classes, d)."""
    try:
        with np.load(path, allow_pickle=False) as found:
            json.loads(str(found["card"]))
            return np.asarray(found["mean"]), np.asarray(found["variance"])
    except (OSError, KeyError, ValueError) as error:
        raise BenchError(f"{path} is missing or damaged: restore it from the project") from error


class _Share(MetricState):
    """``verdict`` gives each image a class; hits and numbers are counted by label and batch."""

    def __init__(self, verdict: Callable[[Tensor], NDArray[np.int64]]) -> None:
        self.verdict = verdict
        self.batches: list[tuple[int, int]] = []
        self.by_label: dict[int, list[int]] = {}

    def update(self, images: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        wanted = labels.numpy()
        right = self.verdict(images) == wanted
        self.batches.append((int(right.sum()), len(right)))
        for k in np.unique(wanted):
            counts = self.by_label.setdefault(int(k), [0, 0])
            counts[0] += int(right[wanted == k].sum())
            counts[1] += int((wanted == k).sum())

    def compute(self) -> MetricResult:
        hits, n = (sum(column) for column in zip(*self.batches, strict=True))
        p = hits / n
        by_label = {str(k): hits / n for k, (hits, n) in sorted(self.by_label.items())}
        return MetricResult(p, n, math.sqrt(p * (1 - p) / n), details={"by_label": by_label})

    def leave_one_out(self) -> list[float]:
        hits, n = (sum(column) for column in zip(*self.batches, strict=True))
        left = [[self.batches[i] for i in group] for group in jackknife_groups(len(self.batches))]
        return [(hits - sum(h for h, _ in some)) / (n - sum(k for _, k in some)) for some in left]


class _Distance(MetricState):
    """`fd_diagonal` of each label's rows to that label's mean and variance (classes, d)."""

    def __init__(self, rows: Callable[[Tensor], Array], mean: Array, variance: Array) -> None:
        self.rows, self.mean, self.variance = rows, mean, variance
        self.n = np.zeros(len(mean), dtype=np.int64)
        self.sum, self.squares = np.zeros_like(mean), np.zeros_like(mean)

    def update(self, images: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        wanted = labels.numpy()
        if wanted.max() >= len(self.mean):
            raise BenchError(
                f"a sample is of class {wanted.max()}, the reference has classes 0 to {len(self.mean) - 1}"
            )
        rows = self.rows(images)
        for k in np.unique(wanted):
            # about the reference mean: no cancellation
            x = rows[wanted == k] - self.mean[k]
            self.n[k] += len(x)
            self.sum[k] += x.sum(axis=0)
            self.squares[k] += (x**2).sum(axis=0)

    def compute(self) -> MetricResult:
        there = np.flatnonzero(self.n)
        least = int(self.n[there].min())
        if least < 2:
            raise BenchError("a Fréchet distance by class needs at least 2 samples of each: raise --samples")
        found = [
            fd_diagonal(self.sum[k] / self.n[k], self.squares[k], int(self.n[k]), self.variance[k])
            for k in there
        ]
        values, errors = np.array(found).T
        few = least < 100
        return MetricResult(
            float(values.mean()),
            int(self.n.sum()),
            None if few else float(np.sqrt((errors**2).sum())) / len(there),
            "fewer than 100 samples of a class" if few else "",
            {"by_label": {str(k): float(v) for k, v in zip(there, values, strict=True)}},
        )
