"""Fréchet distances between features of samples and of a data set. FID is the one on Inception's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench import (
    BenchError,
    Blocks,
    Extractor,
    FeatureMetric,
    Features,
    FeatureState,
    MetricContext,
    MetricResult,
    Moments,
    Reference,
    ValueKind,
    frechet_distance,
    param,
)
from bench_fid.extrapolation import Rows, bootstrap_interval, distance_to, extrapolate
from bench_fid.inception import Mode

SMALLEST_BOOTSTRAP = 40
"""Number of replicates of which 2.5 % is one."""
CANCELLED = 1e-6
"""Share of the whole variance below which that of a part is not taken as a difference."""


def merge_moments(a: Moments, b: Moments) -> Moments:
    """The moments of two neighboring blocks."""
    a.merge(b)
    return a


class Frechet(FeatureMetric):
    """``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`` of means and covariances (Heusel et al. 2017, eq. 6).

    Biased upwards by about d^2 / n at small n, whatever the features.
    """

    name = "frechet"
    value_kind = "distance"
    bias = "upwards, about as 1/n; extrapolate takes that part out"

    extrapolate: bool = param(
        default=False,
        help="the value at infinitely many samples (Chong and Forsyth 2020), called NAME_inf; "
        "keeps all features, 4 n d bytes",
        flag="extrapolate",
    )
    bootstrap: int = param(
        default=0,
        low=0,
        decides=False,
        help="replicates of a 95 % interval over samples, 0 or from 40; keeps all features, 4 n d bytes",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.bootstrap < SMALLEST_BOOTSTRAP:
            raise BenchError(
                f"{self.name}.bootstrap must be 0 or at least {SMALLEST_BOOTSTRAP}, not {self.bootstrap}"
            )

    @property
    def label(self) -> str:
        """As any metric's; an extrapolated value is ``NAME_inf``, and replicates change no value."""
        plain = self.build(self.values() | {"extrapolate": False, "bootstrap": 0}).tag()
        return f"{self.name}_inf{plain.removeprefix(self.name)}" if self.extrapolate else plain

    def reference_name(self) -> str:
        return "cifar10-train"

    def statistics(self, context: MetricContext) -> Reference:
        """The reference statistics."""
        return context.statistics(self.reference_name(), self.extractor_plugin(context), self.rounding)

    def begin(self, context: MetricContext) -> FeatureState:
        return FrechetDistance(
            self.statistics(context), with_limit=self.extrapolate, replicates=self.bootstrap
        )

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return super().provenance(context) | {self.reference_name(): self.statistics(context).sha256}


class FrechetDistance(FeatureState):
    """A Fréchet distance under way.

    Memory O(d^2), and the same per batch for the jackknife at small d. Features (n, d) are kept, as float32,
    only where the limit of infinitely many samples or bootstrap replicates are requested.
    """

    def __init__(self, reference: Reference, *, with_limit: bool = False, replicates: int = 0) -> None:
        self.reference = reference
        self.moments = Moments()
        self.batches = Blocks(merge_moments)
        self.with_limit, self.replicates = with_limit, replicates
        self._rows: list[Rows] | None = [] if with_limit or replicates else None
        # a batch's moments are d^2 numbers: those of a whole run must stay small beside the samples
        self._small = len(reference.mean) <= 256

    def update(self, features: Features) -> None:
        rows = features.rows.double().numpy()
        self.moments.add(rows)
        if self._rows is not None:
            self._rows.append(features.rows.float().numpy())
        if self._small and not self.with_limit:
            batch = Moments()
            batch.add(rows)
            self.batches.add(batch)

    def compute(self) -> MetricResult:
        value = self._distance(self.moments)
        n, d = self.moments.n, len(self.reference.mean)
        if self._rows is None:
            return MetricResult(value, n)
        rows = np.concatenate(self._rows)
        self._rows = [rows]
        distance = distance_to(self.reference.mean, self.reference.covariance)
        details: dict[str, Any] = {}
        note = ""
        if self.with_limit:
            line = extrapolate(rows, distance)
            details |= {"fit": line.plain(), "at_n": value}
            value = line.value
            note = f"n below 4 d = {4 * d}, where the fit in 1/n is not straight" if n < 4 * d else ""
        error = None
        if self.replicates:
            # the interval is that of the value: of the limit, where the value is one
            limit = (lambda part: extrapolate(part, distance).value) if self.with_limit else distance
            details["interval"] = bootstrap_interval(rows, limit, value, self.replicates)
            error = details["interval"]["sd"]
        kind: ValueKind = "estimate" if self.with_limit else "distance"
        return MetricResult(value, n, error, note, details, kind)

    def leave_one_out(self) -> list[float]:
        # empty for the limit: its random subsets add noise to the difference that a batch makes
        values = []
        for group in self.batches.groups():
            rest = self._without(group)
            values.append(self._distance(rest) if rest.n > 1 else math.nan)
        return values if np.isfinite(values).all() else []

    def _without(self, group: range) -> Moments:
        rest = self.moments
        for i in group:
            rest = rest.without(self.batches.parts[i])
        if rest.n > 0 and rest.trace() < CANCELLED * self.moments.trace():
            # the difference is mostly rounding: add up the other batches instead
            rest = Moments()
            for i, batch in enumerate(self.batches.parts):
                if i not in group:
                    rest.merge(batch)
        return rest

    def _distance(self, moments: Moments) -> float:
        return frechet_distance(
            moments.mean, moments.covariance(), self.reference.mean, self.reference.covariance
        )


class FID(Frechet):
    """Fréchet Inception distance through clean-fid (Parmar et al. 2022): Inception's 2048 features.

    ``legacy_tensorflow`` is comparable with the figures of papers that used TF-GAN or Heusel et al.'s code;
    ``clean`` resizes without aliasing; ``legacy_pytorch`` is pytorch-fid's network and resizing.
    """

    name = "fid"
    min_samples = 10_000

    mode: Mode = param(default="legacy_tensorflow", help="network and resizing")
    reference: str = param(default="cifar10-train", help="data set, or a statistics file (.npz)")

    def extractor_plugin(self, context: MetricContext) -> Extractor:
        return context.extractor("inception", mode=self.mode)

    def reference_name(self) -> str:
        return self.reference


class FD(Frechet):
    """The Fréchet distance on any extractor's features; its label carries the extractor's name."""

    name = "fd"
    min_samples = 1000

    extractor: str = param(default="pixels", help="extractor of features; see bench list extractors")
    reference: str = param(default="cifar10-train", help="data set, or a statistics file (.npz)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extractor == "inception":
            raise BenchError("on Inception's features the Fréchet distance is called fid: take that metric")

    @property
    def label(self) -> str:
        return super().label if self.extractor != "pixels" else f"{super().label}-pixels"

    def extractor_plugin(self, context: MetricContext) -> Extractor:
        return context.extractor(self.extractor)

    def reference_name(self) -> str:
        return self.reference


class FdCifar10(Frechet):
    """Fréchet distance of 64 features of a small CIFAR-10 classifier, against the training images.

    Not FID, which means Inception features. Images become 8-bit first.
    """

    name = "fd_cifar10"
    min_samples = 1000

    def extractor_plugin(self, context: MetricContext) -> Extractor:
        return context.extractor("cifar10-features")
