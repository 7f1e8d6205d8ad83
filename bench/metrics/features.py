"""Role Extractor, and metrics that read features: several of them share one pass over an extractor."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from bench.data.pixels import to_uint8
from bench.errors import BenchError, did_you_mean
from bench.metrics.role import Metric, MetricResult, MetricState
from bench.params import Plugin, param

if TYPE_CHECKING:
    from torch import Tensor, device


Rounding = Literal["round", "truncate"]
"""How images on [0, 1] become bytes: to the nearest of 255 steps, or downwards after ``255 x``."""


class Features(NamedTuple):
    """What an extractor makes of a batch: rows (B, d), and class probabilities (B, classes) where it has
    them; float32, on the host."""

    rows: Tensor
    probabilities: Tensor | None = None


Extract = Callable[["Tensor"], Features]
"""uint8 images (B, C, H, W) on the host -> `Features`."""


class Extractor(Plugin):
    """A network (or none) whose features images are compared by."""

    width: ClassVar[int]
    """d, the length of a row."""

    @property
    def label(self) -> str:
        """The name with the parameters that differ from their defaults: it tells whose features compare."""
        defaults = {p.name: p.default for p in self.parameters()}
        return "-".join([self.name, *(str(v) for k, v in self.values().items() if v != defaults[k])])

    @abstractmethod
    def load(self, device: device) -> Extract:
        """Ready to run on ``device``; `BenchError`, in one line, where its files are not here."""

    def check(self) -> None:
        """`BenchError` where its files are not here; cheap, called before anything is sampled."""

    def provenance(self) -> dict[str, str]:
        """Hashes of the files that decide the features."""
        return {}

    def reference(self, dataset: str) -> Path | None:
        """Statistics of a data set that come with the extractor, fetched where need be, if there are any."""
        del dataset
        return None


class Shared:
    """A loaded extractor that keeps the features of the last batch, for the next metric that asks."""

    def __init__(self, extractor: Extractor, device: device, rounding: Rounding) -> None:
        self._extract = extractor.load(device)
        self._rounding = rounding
        self._images: Tensor | None = None
        self._features: Features | None = None

    def __call__(self, images: Tensor) -> Features:
        """Features of images (B, C, H, W) on [0, 1]; the same tensor again costs nothing."""
        if self._images is not images or self._features is None:
            self._features = self._extract(to_uint8(images, self._rounding))
            self._images = images
        return self._features


@functools.lru_cache(maxsize=2)
def shared(extractor: Extractor, device: device, rounding: Rounding) -> Shared:
    """The extractor loaded on ``device``, once for all metrics that read it."""
    return Shared(extractor, device, rounding)


class FeatureState:
    """A measurement of features under way."""

    def update(self, features: Features) -> None:
        """Take in the features of one batch."""
        raise NotImplementedError

    def compute(self) -> MetricResult:
        """The reading over all features so far."""
        raise NotImplementedError

    def leave_one_out(self) -> list[float]:
        """As `MetricState.leave_one_out`."""
        return []


class FeatureMetric(Metric):
    """A metric of the features of an extractor, alone or against reference features."""

    rounding: Rounding = param(
        default="round", help="how samples become 8-bit images, as published codes differ"
    )

    @abstractmethod
    def source(self) -> Extractor:
        """The extractor whose features it reads."""

    @abstractmethod
    def begin(self) -> FeatureState:
        """Begin a measurement; loads the reference, if there is one."""

    def start(self, device: device) -> MetricState:
        return _Streamed(shared(self.source(), device, self.rounding), self.begin())

    def provenance(self) -> dict[str, str]:
        self.source().check()
        return self.source().provenance()


class _Streamed(MetricState):
    """Images in, features on to the measurement."""

    def __init__(self, extract: Shared, inner: FeatureState) -> None:
        self._extract, self._inner = extract, inner

    def update(self, images: Tensor) -> None:
        if not bool(images.isfinite().all()):
            raise BenchError("samples are NaN or infinite")
        self._inner.update(self._extract(images))

    def compute(self) -> MetricResult:
        return self._inner.compute()

    def leave_one_out(self) -> list[float]:
        return self._inner.leave_one_out()


def find_extractor(name: str, **given: Any) -> Extractor:
    """The registered extractor of that name; of ``given``, it takes the parameters that it has."""
    from bench.plugins.registry import registry

    entries = registry()
    if name not in entries.names("extractors"):
        raise BenchError(f"unknown extractor {name!r}{did_you_mean(name, entries.names('extractors'))}")
    kind = entries.get("extractors", name).thing
    known = {p.name for p in kind.parameters()}
    found: Extractor = kind.build({k: v for k, v in given.items() if k in known})
    return found
