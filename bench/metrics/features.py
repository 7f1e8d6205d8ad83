"""Role Extractor, and metrics of features: several metrics share one pass over an extractor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from bench.data.pixels import to_uint8
from bench.devices import arithmetic
from bench.errors import BenchError
from bench.events import Emit
from bench.metrics.role import Metric, MetricResult, MetricState
from bench.params import Plugin, param

if TYPE_CHECKING:
    from torch import Tensor, device

    from bench.metrics.context import MetricContext
    from bench.tasks.role import Task


Rounding = Literal["round", "truncate"]
"""How images x on [0, 1] become bytes: ``255 x`` rounded to the nearest integer, or truncated."""


class Features(NamedTuple):
    """What an extractor returns for a batch of B images, as float32 on the host.

    Args:
        rows: Features (B, d), one row per image.
        probabilities: Class probabilities (B, classes); None where the extractor has no classes.
    """

    rows: Tensor
    probabilities: Tensor | None = None


Extract = Callable[["Tensor"], Features]
"""``extract(items)`` returns the `Features` of items on the host: of uint8 images (B, C, H, W), or of float32
items (B, *shape) on the unit range where the extractor takes floats (`Extractor.takes_bytes`)."""

MAX_WIDTH = 4096
"""Greatest number of features, whose covariance is computed; Inception has 2048."""


class Extractor(Plugin):
    """A network, or another function, that maps images to features, by which metrics compare them."""

    width: ClassVar[int | None] = None
    """d, the length of a row of features; None where it depends on the shape of the items (`width_of`)."""
    shape: ClassVar[tuple[int, ...] | None] = None
    """The only shape of items that it takes; None where it takes several (`check_shape`)."""
    has_classes: ClassVar[bool | None] = None
    """Whether its `Features` have class probabilities; None where only loading tells."""

    @property
    def label(self) -> str:
        """The name with the parameters that differ from their defaults; features of one label compare."""
        return self.tag()

    @abstractmethod
    def load(self, device: device) -> Extract:
        """Load the network.

        Args:
            device: Device of the network; images and features are on the host.

        Returns:
            A function from items to their `Features`: from uint8 images (B, C, H, W), or float32 items of
            shapes that `takes_bytes` denies.

        Raises:
            BenchError: A file is missing or damaged.
        """

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Check that it takes items of a shape; called before anything is sampled or read.

        Args:
            shape: Shape of one item: (C, H, W) of an image, (D,) of a point.

        Raises:
            BenchError: It does not take such items. By default it takes those of its own ``shape`` alone.
        """
        if self.shape is not None and tuple(shape) != self.shape:
            raise BenchError(f"{self.name} takes {sizes(self.shape)} images, not {sizes(shape)}")

    def width_of(self, shape: tuple[int, ...]) -> int:
        """The length of a row of features of items of a shape that it takes.

        Args:
            shape: Shape of one item.

        Returns:
            d. Default: ``width``.
        """
        if self.width is None:
            raise NotImplementedError(f"extractor {self.name} has neither a width nor width_of")
        return self.width

    def takes_bytes(self, shape: tuple[int, ...]) -> bool:
        """Whether items of a shape are clipped to [0, 1] and rounded to bytes before features are taken.

        Args:
            shape: Shape of one item.

        Returns:
            True for uint8 items, False for float32 ones on the unit range, as they are. Default: True.
        """
        del shape
        return True

    def check(self, emit: Emit) -> None:
        """Check that its files are on disk, and fetch missing ones; called before anything is sampled.

        Args:
            emit: Reports the progress of a download.

        Raises:
            BenchError: A file is missing and can't be fetched; the message says where to put it.
        """

    def absent_files(self) -> dict[str, str]:
        """Files that it reads and that are not here, for ``bench doctor``; nothing is fetched.

        Returns:
            What to do, by file name. Default: empty.
        """
        return {}

    def provenance(self) -> dict[str, str]:
        """Hashes of the files that decide the features.

        Returns:
            SHA-256 by file name. Default: empty.
        """
        return {}

    def reference(self, dataset: str, emit: Emit) -> Path | None:
        """Statistics of a data set that come with the extractor, fetched if necessary.

        Args:
            dataset: Name of the data set.
            emit: Reports the progress of a download.

        Returns:
            Path of the ``.npz``; None where the extractor has none for the data set.
        """
        del dataset, emit
        return None


def sizes(shape: tuple[int, ...]) -> str:
    """A shape as messages have it: ``3x32x32``."""
    return "x".join(map(str, shape))


def check_extractor(extractor: Extractor, shape: tuple[int, ...]) -> None:
    """`BenchError` where an extractor does not take items of a shape, or has too many features of them."""
    extractor.check_shape(shape)
    width = extractor.width_of(shape)
    if width > MAX_WIDTH:
        raise BenchError(
            f"{extractor.name} has {width} features of {sizes(shape)} items, and a covariance is of at most "
            f"{MAX_WIDTH}: sliced_wasserstein and mmd take items of any size"
        )


class FeatureReader:
    """A loaded extractor that keeps the last batch's features: the next metric gets the same without work.

    Args:
        extractor: Extractor, which is loaded here.
        device: Where its network runs.
        rounding: How items become bytes, where the extractor takes bytes.
    """

    def __init__(self, extractor: Extractor, device: device, rounding: Rounding) -> None:
        self._extract = extractor.load(device)
        self._extractor = extractor
        self._device = device
        self._rounding = rounding
        self._images: Tensor | None = None
        self._features: Features | None = None

    def __call__(self, images: Tensor) -> Features:
        """Features of items (B, *shape) on the unit range; a repeated call on the same tensor costs nothing.

        Raises:
            BenchError: The extractor does not take items of this shape.
        """
        if self._images is not images or self._features is None:
            shape = tuple(images.shape[1:])
            check_extractor(self._extractor, shape)
            bytes_ = self._extractor.takes_bytes(shape)
            with arithmetic(self._device, tf32=False):
                self._features = self._extract(to_uint8(images, self._rounding) if bytes_ else images)
            self._images = images
        return self._features


class FeatureState:
    """A metric of features under way: features of batches stream into `update`."""

    def update(self, features: Features) -> None:
        """Add the features of a batch.

        Args:
            features: Rows (B, d), and class probabilities where the extractor has them.

        Raises:
            BenchError: The features are not finite, or the extractor lacks what the metric needs.
        """
        raise NotImplementedError

    def compute(self) -> MetricResult:
        """The result over all features so far.

        Returns:
            The metric's result.

        Raises:
            BenchError: There are too few samples for a value.
        """
        raise NotImplementedError

    def leave_one_out(self) -> list[float]:
        """Values without each group of batches, as `MetricState.leave_one_out`.

        Returns:
            The values. Default: empty.
        """
        return []


class FeatureMetric(Metric):
    """A metric of an extractor's features, alone or against reference features.

    A plugin defines `extractor_plugin`, `begin` and its `FeatureState`. This class rounds images to bytes
    where the extractor takes bytes, shares the extractor among metrics, and refuses samples that are not
    finite and references of items of another shape.
    """

    rounding: Rounding = param(
        default="round", help="how samples become 8-bit images; published codes differ"
    )

    @abstractmethod
    def extractor_plugin(self, context: MetricContext) -> Extractor:
        """The extractor of the features, usually ``context.extractor(name)``.

        Args:
            context: Gives extractors by name.

        Returns:
            The extractor, not loaded.

        Raises:
            BenchError: There is no such extractor.
        """

    @abstractmethod
    def begin(self, context: MetricContext) -> FeatureState:
        """Begin a measurement, and load the reference statistics, if there are any.

        Args:
            context: Gives reference statistics by name.

        Returns:
            The state that features stream into.
        """

    def reference_name(self) -> str:
        """The reference: a data set, file, folder or run.

        Returns:
            Its name. Default: empty, for a metric without a reference.
        """
        return ""

    def start(self, context: MetricContext) -> MetricState:
        reader = context.features(self.extractor_plugin(context), self.rounding)
        return _FeatureStream(reader, self.begin(context))

    def check_reference(self, shape: tuple[int, ...], context: MetricContext) -> None:
        extractor, name = self.extractor_plugin(context), self.reference_name()
        check_extractor(extractor, shape)
        if not name or extractor.width is not None:
            return  # the statistics' width is the extractor's own, whatever the items
        d = context.statistics(name, extractor, self.rounding).mean.size
        if d != extractor.width_of(shape):
            raise BenchError(
                f"the reference {name} has {d} features of {extractor.name}, {sizes(shape)} items have "
                f"{extractor.width_of(shape)}: name a reference of such items by -P metric.reference"
            )

    def provenance(self, context: MetricContext) -> dict[str, str]:
        extractor = self.extractor_plugin(context)
        extractor.check(context.emit)
        return extractor.provenance()


class _FeatureStream(MetricState):
    """Turns batches of images into batches of features."""

    def __init__(self, reader: FeatureReader, state: FeatureState) -> None:
        self._reader, self._state = reader, state

    def update(self, images: Tensor) -> None:
        if not bool(images.isfinite().all()):
            raise BenchError("samples are NaN or infinite")
        self._state.update(self._reader(images))

    def compute(self) -> MetricResult:
        return self._state.compute()

    def leave_one_out(self) -> list[float]:
        return self._state.leave_one_out()


def check_metric(
    metric: Metric, task: Task, shape: tuple[int, ...], samples: int, context: MetricContext
) -> None:
    """`BenchError`, naming the metric, where it can't measure such samples of a task."""
    metric.check(task, shape, samples)
    check_items(metric, shape, context)
    if samples < metric.fewest_samples:
        raise BenchError(
            f"{metric.name} needs at least {metric.fewest_samples} samples, not {samples}: raise --samples"
        )


def check_items(metric: Metric, shape: tuple[int, ...], context: MetricContext) -> None:
    """`BenchError`, naming the metric, where it can't compare items of a shape with its reference."""
    try:
        metric.check_reference(shape, context)
    except BenchError as error:
        raise BenchError(f"{metric.name}: {error}; choose another --metric") from error
