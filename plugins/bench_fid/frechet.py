"""Fréchet distances between features of samples and of a data set. FID is the one on Inception's."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from bench import BenchError, FeatureMetric, Features, FeatureState, MetricResult, param
from bench.metrics.features import Extractor, find_extractor
from bench.metrics.frechet import frechet_distance
from bench.metrics.moments import Moments, groups
from bench.metrics.reference import Reference
from bench_fid.extrapolation import Rows, bootstrapped, distance_to, extrapolated
from bench_fid.rows import statistics

SMALLEST_BOOTSTRAP = 40
"""Replicates of which 2.5 % is one."""


class Frechet(FeatureMetric):
    """``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))`` of means and covariances (Heusel et al. 2017, eq. 6).

    Biased upwards by about d^2 / n at small n, whatever the features.
    """

    name = "frechet"
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
        plain = super(Frechet, self.build(self.values() | {"extrapolate": False, "bootstrap": 0})).label
        return f"{self.name}_inf{plain.removeprefix(self.name)}" if self.extrapolate else plain

    def reference_name(self) -> str:
        """What it is measured against."""
        return "cifar10-train"

    def against(self) -> Reference:
        """The reference statistics."""
        return statistics(self.reference_name(), self.source(), self.rounding)

    def begin(self) -> FeatureState:
        return FrechetDistance(self.against(), extrapolate=self.extrapolate, bootstrap=self.bootstrap)

    def provenance(self) -> dict[str, str]:
        return super().provenance() | {self.reference_name(): self.against().sha256}


class FrechetDistance(FeatureState):
    """Moments under way; memory O(d^2), and the same per group of batches for the jackknife at small d.

    Features (n, d) are kept, as float32, where the limit or replicates are asked for, and only there.
    """

    def __init__(self, reference: Reference, *, extrapolate: bool = False, bootstrap: int = 0) -> None:
        self.reference = reference
        self.moments = Moments()
        self.batches: list[Moments] = []
        self.extrapolate, self.bootstrap = extrapolate, bootstrap
        self._kept: list[Rows] | None = [] if extrapolate or bootstrap else None
        # a batch's moments are d^2 numbers: kept where all of a run's are no more than some samples
        self._small = len(reference.mean) <= 256

    def update(self, features: Features) -> None:
        rows = features.rows.double().numpy()
        self.moments.add(rows)
        if self._kept is not None:
            self._kept.append(features.rows.float().numpy())
        if self._small and not self.extrapolate:
            batch = Moments()
            batch.add(rows)
            self.batches.append(batch)

    def compute(self) -> MetricResult:
        value = self._distance(self.moments)
        n, d = self.moments.n, len(self.reference.mean)
        if self._kept is None:
            return MetricResult(value, n)
        rows = np.concatenate(self._kept)
        self._kept = [rows]
        distance = distance_to(self.reference.mean, self.reference.covariance)
        details: dict[str, Any] = {}
        note = ""
        if self.extrapolate:
            line = extrapolated(rows, distance)
            details |= {"extrapolated": line.plain(), "at_n": value}
            value = line.value
            note = f"n below 4 d = {4 * d}, where the fit in 1/n is not straight" if n < 4 * d else ""
        error = None
        if self.bootstrap:
            # the replicates are of what the value is: the limit, where it is one
            limit = (lambda part: extrapolated(part, distance).value) if self.extrapolate else distance
            details["bootstrap"] = bootstrapped(rows, limit, value, self.bootstrap)
            error = details["bootstrap"]["sd"]
        return MetricResult(value, n, error, note, details)

    def leave_one_out(self) -> list[float]:
        # empty for the limit: its random subsets would make noise of the difference that a batch makes
        found = []
        for group in groups(len(self.batches)):
            rest = self.moments
            for i in group:
                rest = rest.without(self.batches[i])
            found.append(self._distance(rest) if rest.n > 1 else math.nan)
        return found if np.isfinite(found).all() else []

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

    mode: Literal["legacy_tensorflow", "clean", "legacy_pytorch"] = param(
        default="legacy_tensorflow", help="network and resizing"
    )
    reference: str = param(default="cifar10-train", help="data set, or a statistics file (.npz)")

    def source(self) -> Extractor:
        return find_extractor("inception", mode=self.mode)

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

    def source(self) -> Extractor:
        return find_extractor(self.extractor)

    def reference_name(self) -> str:
        return self.reference


class FdCifar10(Frechet):
    """Fréchet distance of 64 features of a small CIFAR-10 classifier, against the training images.

    Not FID, which means Inception features. Images become 8-bit first.
    """

    name = "fd_cifar10"
    min_samples = 1000

    def source(self) -> Extractor:
        return find_extractor("cifar10-features")
