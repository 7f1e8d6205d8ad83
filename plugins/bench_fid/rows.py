"""Metrics that compare rows of features: those of a reference, and those of a sample of the stream."""

from __future__ import annotations

import numpy as np

from bench import (
    Array,
    BenchError,
    Extractor,
    FeatureMetric,
    Features,
    MetricContext,
    Reservoir,
    build_command,
    param,
)
from bench_fid.inception import Mode


class RowMetric(FeatureMetric):
    """A metric that compares rows of features, of any extractor, with rows of a reference."""

    extractor: str = param(default="inception", help="extractor of features; see bench list extractors")
    mode: Mode = param(default="legacy_tensorflow", help="network and resizing of the extractor inception")
    reference: str = param(default="cifar10-train", help="data set, or a statistics file (.npz)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extractor != "inception" and self.mode != "legacy_tensorflow":
            raise BenchError(f"{self.name}.mode is of the extractor inception, not of {self.extractor}")

    @property
    def label(self) -> str:
        # numbers carry their parameter's name: two of them must not share a column
        return self.tag(keys=True)

    @property
    def fewest_samples(self) -> int:
        return 2

    def extractor_plugin(self, context: MetricContext) -> Extractor:
        mode = {"mode": self.mode} if self.extractor == "inception" else {}
        return context.extractor(self.extractor, **mode)

    def reference_name(self) -> str:
        return self.reference

    def rows(self, context: MetricContext) -> Array:
        """The reference's rows (m, d), float64."""
        extractor = self.extractor_plugin(context)
        rows = context.statistics(self.reference, extractor, self.rounding).rows
        if rows is None or len(rows) < 2:
            raise BenchError(
                f"{self.name} compares single images, and the statistics of {self.reference} have no rows: "
                f"{build_command(context.dataset_name(self.reference), extractor)} makes some that have"
            )
        return rows

    def provenance(self, context: MetricContext) -> dict[str, str]:
        hashes = super().provenance(context)
        self.rows(context)  # refuses a reference without rows
        extractor = self.extractor_plugin(context)
        return hashes | {self.reference: context.statistics(self.reference, extractor, self.rounding).sha256}


class RowSample:
    """At most ``size`` rows of a stream of features, drawn without bias where there are more; float32.

    Attributes:
        n: Number of rows of the stream so far.
    """

    def __init__(self, size: int) -> None:
        self.n = 0
        self._reservoir = Reservoir(size)

    def update(self, features: Features) -> None:
        """Add a batch; `BenchError` where a value is not finite."""
        rows = features.rows.float().numpy()
        if not np.isfinite(rows).all():
            raise BenchError("features are NaN or infinite")
        self._reservoir.add(rows)
        self.n += len(rows)

    def rows(self, least: int, name: str) -> Array:
        """The rows (m, d), float64; `BenchError` where the stream had fewer than ``least``."""
        if self.n < least:
            raise BenchError(f"{name} needs at least {least} samples, not {self.n}")
        return np.asarray(self._reservoir.rows(), dtype=np.float64)
