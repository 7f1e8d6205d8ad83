"""Metrics that compare items of any shape, as they are, with those of a reference."""

from __future__ import annotations

import numpy as np

from bench import Array, BenchError, Images, Metric, MetricContext, Reservoir, Tensor, param


class ItemMetric(Metric):
    """A metric that compares items (*shape) on the unit range with those of a reference.

    Nothing is clipped or rounded: the unit range maps the data's own range to [0, 1], and items may leave it.
    """

    reference: str = param(
        default="",
        help="data set, images, run or exact checkpoint; empty: the checkpoint's own data, or cifar10-train",
    )

    @property
    def label(self) -> str:
        # numbers carry their parameter's name: two of them must not share a column
        return self.tag(keys=True)

    @property
    def fewest_samples(self) -> int:
        return 2

    def reference_name(self) -> str:
        """Name of the reference."""
        return self.reference or "cifar10-train"

    def items(self, context: MetricContext) -> Images:
        """The items of the reference; `BenchError` where the name stands for none."""
        try:
            return context.images(self.reference_name())
        except BenchError as error:
            raise BenchError(f"the items of its reference can't be read: {error}") from error

    def check_reference(self, shape: tuple[int, ...], context: MetricContext) -> None:
        check_dataset_shape(self.reference_name(), shape, context)
        check_item_shape(self.items(context), shape)

    def provenance(self, context: MetricContext) -> dict[str, str]:
        items = self.items(context)
        return {self.reference_name(): f"{items.sha256(context.emit)}, decoder {items.decoder}"}


def check_dataset_shape(name: str, shape: tuple[int, ...], context: MetricContext) -> None:
    """`check_shape` for the name of a data set, whose shape is known before it is fetched."""
    full = context.dataset_name(name)
    if full is not None:
        dataset = context.registry.get("datasets", full.rpartition("-")[0]).thing
        check_shape(name, dataset.shape or shape, shape)


def check_item_shape(items: Images, shape: tuple[int, ...]) -> None:
    """`BenchError` where the items of a reference do not have the shape of the samples."""
    check_shape(items.name, items.shape, shape)


def check_shape(name: str, its_shape: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """As `check_item_shape`, by the name and shape of the reference."""
    if tuple(its_shape) != tuple(shape):
        raise BenchError(
            f"its reference {name} is of {sizes(its_shape)} items, the samples are {sizes(shape)}: "
            "name data of that shape by -P metric.reference"
        )


def sizes(shape: tuple[int, ...]) -> str:
    """A shape as messages have it: ``3x32x32``."""
    return "x".join(map(str, shape))


class ItemSample:
    """At most ``size`` rows of a stream of batches, drawn without bias where there are more; float64.

    Attributes:
        batches: Number of rows of each batch so far.
    """

    def __init__(self, size: int) -> None:
        self.batches: list[int] = []
        self._size = size
        self._reservoir = Reservoir(size)

    @property
    def n(self) -> int:
        """Number of rows of the stream so far."""
        return sum(self.batches)

    @property
    def whole(self) -> bool:
        """Whether all rows of the stream are kept, in their order."""
        return self.n <= self._size

    def update(self, rows: Array) -> None:
        """Add the rows (n, d) of a batch."""
        self._reservoir.add(rows)
        self.batches.append(len(rows))

    def rows(self, name: str) -> Array:
        """The rows (m, d); `BenchError` naming the metric where the stream had fewer than two."""
        if self.n < 2:
            raise BenchError(f"{name} needs at least 2 samples, not {self.n}")
        return np.asarray(self._reservoir.rows(), dtype=np.float64)


def flat(items: Tensor) -> Array:
    """Items (B, *shape) as float64 rows (B, d); `BenchError` where one is not finite."""
    if not bool(items.isfinite().all()):
        raise BenchError("samples are NaN or infinite")
    rows: Array = items.flatten(1).double().numpy()
    return rows
