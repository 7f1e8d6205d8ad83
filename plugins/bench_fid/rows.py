"""Features that are compared one by one: a reference's rows, and those of samples, kept as they stream."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import numpy as np

from bench import Array, BenchError, FeatureMetric, Features, Metric, param
from bench.metrics.features import Extractor, Rounding, find_extractor
from bench.metrics.reference import Reference, Reservoir, building, find, read
from bench.params import slug

Mode = Literal["legacy_tensorflow", "clean", "legacy_pytorch"]


def statistics(name: str, extractor: Extractor, rounding: Rounding) -> Reference:
    """The reference of that name for the extractor, read once for all metrics; not to be written to."""
    path = find(name, extractor, rounding=rounding)
    state = path.stat()
    return _statistics(path, extractor, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _statistics(path: Path, extractor: Extractor, size: int, changed: int) -> Reference:
    del size, changed
    return read(path, extractor)


def labelled(metric: Metric, always: tuple[str, ...] = ()) -> str:
    """A metric's name with the parameters that differ from their defaults, and those named in ``always``.

    Numbers carry their parameter's name: two of them must not share a column.
    """
    defaults = {p.name: p.default for p in metric.parameters()}
    shown = {k: v for k, v in metric.values().items() if v != defaults[k] or k in always}
    return "-".join(
        [metric.name, *(slug(v if isinstance(v, str) else f"{k}_{v:g}") for k, v in shown.items())]
    )


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
        return labelled(self)

    def source(self) -> Extractor:
        return find_extractor(
            self.extractor, **({"mode": self.mode} if self.extractor == "inception" else {})
        )

    def rows(self) -> Array:
        """The reference's rows (m, d), float64."""
        extractor = self.source()
        rows = statistics(self.reference, extractor, self.rounding).rows
        if rows is None or len(rows) < 2:
            raise BenchError(
                f"{self.name} compares single images, and the statistics of {self.reference} have no rows: "
                f"{building(self.reference, extractor)} makes some that have"
            )
        return rows

    def provenance(self) -> dict[str, str]:
        found = super().provenance()
        self.rows()
        return found | {self.reference: statistics(self.reference, self.source(), self.rounding).sha256}


class Kept:
    """Rows of a stream, at most ``most`` of them, drawn without bias where there are more; float32."""

    def __init__(self, most: int) -> None:
        self.n = 0
        self._reservoir = Reservoir(most)

    def update(self, features: Features) -> None:
        """Take in a batch; `BenchError` where a value is not finite."""
        rows = features.rows.float().numpy()
        if not np.isfinite(rows).all():
            raise BenchError("features are NaN or infinite")
        self._reservoir.add(rows)
        self.n += len(rows)

    def rows(self, least: int, name: str) -> Array:
        """The rows kept (m, d), float64; `BenchError` where fewer than ``least`` samples came."""
        if self.n < least:
            raise BenchError(f"{name} needs at least {least} samples, not {self.n}")
        return np.asarray(self._reservoir.rows(), dtype=np.float64)
