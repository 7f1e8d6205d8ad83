"""How certain and how diverse a classifier's predictions are. The Inception score is Inception's."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np

from bench import (
    Array,
    BenchError,
    Extractor,
    FeatureMetric,
    Features,
    FeatureState,
    MetricContext,
    MetricResult,
    param,
)


class ClassifierScore(FeatureMetric):
    """``exp E KL(p(y|x) || E p(y|x))`` (Salimans et al. 2016, section 4), mean over splits of the samples.

    From 1, where all predictions are the same, to the number of classes. Stores the probabilities of all
    samples, 4 bytes per class each. The error is the splits' standard deviation over the root of their
    number; the papers' "mean ± std" is in the record as ``std_over_splits``.
    """

    direction = "higher"
    min_samples = 5000
    bias = "downwards, about as splits/n (the entropy of a mean over few samples is too small)"
    order_matters = True

    splits: int = param(default=10, low=1, help="consecutive parts of the samples; the value is their mean")

    @property
    def label(self) -> str:
        return self.tag(keys=True)

    @property
    def fewest_samples(self) -> int:
        return 2 * self.splits

    def check_reference(self, shape: tuple[int, ...], context: MetricContext) -> None:
        super().check_reference(shape, context)
        extractor = self.extractor_plugin(context)
        if extractor.has_classes is False:
            raise BenchError(f"it needs probabilities of classes, which {extractor.name} does not have")

    def begin(self, context: MetricContext) -> FeatureState:
        return _Predictions(self.name, self.extractor_plugin(context).name, self.splits)


class InceptionScore(ClassifierScore):
    """Inception score, ``exp E KL(p(y|x) || E p(y|x))`` (Salimans et al. 2016, section 4), mean over splits.

    From 1 to the number of classes, of which clean-fid's networks have 1008. Stores the probabilities of all
    samples, 4 bytes per class each. The error is the splits' standard deviation over the root of their
    number; the papers' "mean ± std" is in the record as ``std_over_splits``.
    """

    name = "inception_score"

    mode: Literal["legacy_tensorflow", "clean"] = param(
        default="legacy_tensorflow", help="network and resizing; legacy_pytorch has no probabilities"
    )

    def extractor_plugin(self, context: MetricContext) -> Extractor:
        return context.extractor("inception", mode=self.mode)


class ClassScore(ClassifierScore):
    """As inception_score, of another classifier: ``exp E KL(p(y|x) || E p(y|x))``, mean over splits.

    Not the Inception score, which means Inception's classes; its label carries the extractor's name.
    """

    name = "class_score"

    extractor: str = param(default="cifar10-features", help="extractor that has class probabilities")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extractor == "inception":
            raise BenchError("on Inception's classes it is called inception_score: take that metric")

    @property
    def label(self) -> str:
        return self.tag(("extractor",), keys=True)

    def extractor_plugin(self, context: MetricContext) -> Extractor:
        return context.extractor(self.extractor)


class _Predictions(FeatureState):
    def __init__(self, name: str, extractor: str, splits: int) -> None:
        self._name, self._extractor, self._splits = name, extractor, splits
        self._probabilities: list[Array] = []

    def update(self, features: Features) -> None:
        if features.probabilities is None:
            raise BenchError(
                f"{self._name} needs probabilities of classes, which the extractor {self._extractor} has not"
            )
        if not features.probabilities.isfinite().all():
            raise BenchError("probabilities of classes are NaN or infinite")
        self._probabilities.append(features.probabilities.float().numpy())

    def compute(self) -> MetricResult:
        n = sum(len(part) for part in self._probabilities)
        if n < 2 * self._splits:
            raise BenchError(
                f"{self._name} needs at least {2 * self._splits} samples for {self._splits} splits, not {n}"
            )
        probabilities = np.concatenate(self._probabilities)
        self._probabilities = [probabilities]
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
