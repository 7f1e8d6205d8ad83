"""What metrics may use: a device, loaded extractors, reference statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bench.data.sources import open_images as open_data
from bench.data.splits import dataset_name
from bench.events import Emit, silent
from bench.metrics.features import Extractor, FeatureReader, Rounding
from bench.metrics.reference import Reference, find_statistics, read_statistics

if TYPE_CHECKING:
    from torch import device

    from bench.data.images import Images
    from bench.data.sources import OpenImages
    from bench.plugins.registry import Registry

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class MetricContext:
    """What metrics may use while they are checked, started and computed.

    The metrics of one context share what is expensive: an extractor is loaded once, the features of a batch
    are extracted once, reference statistics are read once.

    Args:
        registry: Plugins by name; extractors and data sets are looked up in it.
        device: The ``torch.device`` that extractors run on.
        open_images: ``open_images(name, emit=...)`` opens the images that a name stands for; None for data
            sets, folders and ``.npz`` files.
        emit: Reports progress.
        code_of: ``code_of(extractor)`` is a hash of an extractor's code; empty for unknown code.
    """

    def __init__(
        self,
        registry: Registry,
        device: device,
        open_images: OpenImages | None = None,
        emit: Emit = silent,
        code_of: Callable[[Extractor], str] = lambda _: "",
    ) -> None:
        self.registry = registry
        self.device = device
        self.emit = emit
        self.code_of = code_of
        self._open_images = open_images or functools.partial(open_data, registry=registry)
        self._images: dict[str, Images] = {}
        self._readers: _Recent[tuple[Extractor, Rounding], FeatureReader] = _Recent(2)
        self._references: _Recent[tuple[object, ...], Reference] = _Recent(2)
        self._values: dict[str, tuple[Hashable, Any]] = {}

    def extractor(self, name: str, **parameters: Any) -> Extractor:
        """A registered extractor.

        Args:
            name: Its name.
            parameters: Its parameters by name; the others keep their defaults.

        Returns:
            The extractor, not loaded yet.

        Raises:
            BenchError: There is no such extractor, or it has no such parameter.
        """
        extractor: Extractor = self.registry.build("extractors", name, parameters)
        return extractor

    def features(self, extractor: Extractor, rounding: Rounding = "round") -> FeatureReader:
        """An extractor, loaded on the device.

        Args:
            extractor: The extractor; equal ones are loaded once.
            rounding: How images become bytes.

        Returns:
            A function from images (B, C, H, W) on [0, 1] to their `Features`. A repeated call on the same
            tensor costs nothing.

        Raises:
            BenchError: A file of the extractor is missing or damaged.
        """

        def load() -> FeatureReader:
            extractor.check(self.emit)
            return FeatureReader(extractor, self.device, rounding)

        return self._readers.get((extractor, rounding), load)

    def statistics(self, name: str, extractor: Extractor, rounding: Rounding = "round") -> Reference:
        """Reference statistics of an extractor's features, read once.

        Args:
            name: A data set, a statistics file, or images (a folder, an ``.npz``, a run). Images are measured
                the first time; their statistics stay in the cache folder.
            extractor: Extractor of the features.
            rounding: How float images become bytes.

        Returns:
            The statistics, which several metrics share: they must not be changed.

        Raises:
            BenchError: There are no such statistics, or they are damaged or of another extractor.
        """
        path = find_statistics(name, extractor, rounding, self)
        state = path.stat()
        key = (path, extractor, state.st_size, state.st_mtime_ns)
        return self._references.get(key, lambda: read_statistics(path, extractor))

    def dataset_name(self, name: str) -> str | None:
        """Full name of a data set's split.

        Args:
            name: Any name, such as that of a reference.

        Returns:
            ``NAME-SPLIT``: ``cifar10-train`` for ``cifar10``; None where the name is of no data set.
        """
        return dataset_name(name, self.registry)

    def images(self, name: str) -> Images:
        """The images that a name stands for, opened once.

        Args:
            name: A folder, an ``.npz``, a run, or a data set.

        Returns:
            The images.

        Raises:
            BenchError: The name stands for no images, or they can't be read.
        """
        if name not in self._images:
            self._images[name] = self._open_images(name, emit=self.emit)
        return self._images[name]

    def share(self, slot: str, key: Hashable, compute: Callable[[], V]) -> V:
        """A value that several metrics need, computed once.

        Args:
            slot: Name of the value; one value is held under each name.
            key: Everything that decides the value; a new key computes it anew.
            compute: Computes the value.

        Returns:
            The value.
        """
        if slot not in self._values or self._values[slot][0] != key:
            self._values[slot] = (key, compute())
        value: V = self._values[slot][1]
        return value


class _Recent(Generic[K, V]):
    """The values of the last ``size`` keys."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key; `make` makes a missing one."""
        value = self._values.pop(key) if key in self._values else make()
        self._values[key] = value  # last in order: the most recent one
        while len(self._values) > self._size:
            del self._values[next(iter(self._values))]
        return value
