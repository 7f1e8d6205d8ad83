"""How sure and how varied a classifier's verdicts are. The Inception score is Inception's."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np

from bench import Array, BenchError, FeatureMetric, Features, FeatureState, MetricResult, param
from bench.metrics.features import Extractor, find_extractor
from bench_fid.rows import labelled


class ClassifierScore(FeatureMetric):
    """``exp E KL(p(y|x) || E p(y|x))`` (Salimans et al. 2016, section 4), mean over splits of the samples.

    From 1, where all verdicts are alike, to the number of classes. Keeps the probabilities of all samples,
    4 bytes per class each. The error is the splits' standard deviation over the root of their number; the
    papers' "mean ± std" is in the record as ``std_over_splits``.
    """

    direction = "higher"
    min_samples = 5000
    bias = "downwards, about as splits/n (the entropy of a mean over few samples is too small)"
    order_matters = True

    splits: int = param(default=10, low=1, help="consecutive parts of the samples that it is the mean over")

    @property
    def label(self) -> str:
        return labelled(self)

    def begin(self) -> FeatureState:
        return _Verdicts(self.name, self.source().name, self.splits)


class InceptionScore(ClassifierScore):
    """Inception score, ``exp E KL(p(y|x) || E p(y|x))`` (Salimans et al. 2016, section 4), mean over splits.

    From 1 to the number of classes, of which clean-fid's networks have 1008. Keeps the probabilities of all
    samples, 4 bytes per class each. The error is the splits' standard deviation over the root of their
    number; the papers' "mean ± std" is in the record as ``std_over_splits``.
    """

    name = "inception_score"

    mode: Literal["legacy_tensorflow", "clean"] = param(
        default="legacy_tensorflow", help="network and resizing; legacy_pytorch tells no probabilities"
    )

    def source(self) -> Extractor:
        return find_extractor("inception", mode=self.mode)


class ClassScore(ClassifierScore):
    """As inception_score, of another classifier: ``exp E KL(p(y|x) || E p(y|x))``, mean over splits.

    Not the Inception score, which means Inception's classes; its label carries the extractor's name.
    """

    name = "class_score"

    extractor: str = param(default="cifar10-features", help="extractor that tells probabilities of classes")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extractor == "inception":
            raise BenchError("on Inception's classes it is called inception_score: take that metric")

    @property
    def label(self) -> str:
        return labelled(self, always=("extractor",))

    def source(self) -> Extractor:
        return find_extractor(self.extractor)


class _Verdicts(FeatureState):
    def __init__(self, name: str, extractor: str, splits: int) -> None:
        self._name, self._extractor, self._splits = name, extractor, splits
        self._kept: list[Array] = []

    def update(self, features: Features) -> None:
        if features.probabilities is None:
            raise BenchError(
                f"{self._name} needs probabilities of classes, which the extractor {self._extractor} has not"
            )
        if not features.probabilities.isfinite().all():
            raise BenchError("probabilities of classes are NaN or infinite")
        self._kept.append(features.probabilities.float().numpy())

    def compute(self) -> MetricResult:
        n = sum(len(part) for part in self._kept)
        if n < 2 * self._splits:
            raise BenchError(
                f"{self._name} needs at least {2 * self._splits} samples for {self._splits} splits, not {n}"
            )
        probabilities = np.concatenate(self._kept)
        self._kept = [probabilities]
        ends = [i * n // self._splits for i in range(self._splits + 1)]
        parts = [probabilities[a:b] for a, b in itertools.pairwise(ends)]
        values = np.array([score(part) for part in parts])
        error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else None
        details = {"splits": self._splits, "std_over_splits": float(values.std())}
        return MetricResult(float(values.mean()), n, error, details=details)


def score(probabilities: Array) -> float:
    """``exp mean_i sum_k p_ik log(p_ik / mean_i p_ik)`` of probabilities (n, classes), in float64.

    0 log 0 counts as 0.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    mean = p.mean(axis=0)
    own, common = (np.log(q, out=np.zeros_like(q), where=q > 0) for q in (p, mean))
    return float(np.exp((p * (own - common)).sum(axis=1).mean()))
