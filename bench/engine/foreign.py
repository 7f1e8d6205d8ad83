"""Metrics of images from any source: folders, archives, runs, data sets, tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data.images import Images
from bench.engine.measuring import measure_batches
from bench.errors import BenchError
from bench.events import Advance, Notice
from bench.metrics.features import FeatureMetric, check_items
from bench.plan.building import Objects, build_metrics, check_recorded
from bench.plan.sources import RunImages
from bench.results.record import MetricRecord
from bench.types import JSONObject

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.context import MetricContext
    from bench.metrics.role import Metric
    from bench.plugins.registry import Registry


@dataclasses.dataclass(frozen=True)
class ReferencedMetric:
    """A metric's record, with the reference that the images were compared with.

    Args:
        record: The value, and what decides it.
        reference: Name of the reference; empty where the metric needs none.
        reference_card: Card of the reference statistics; empty where there are none.
    """

    record: MetricRecord
    reference: str = ""
    reference_card: JSONObject = dataclasses.field(default_factory=dict)

    def to_json(self) -> JSONObject:
        """As JSON data."""
        plain: JSONObject = self.record.model_dump(mode="json", exclude={"exact", "limit"})
        return plain | {"reference": self.reference, "reference_card": self.reference_card}


@dataclasses.dataclass(frozen=True)
class ImageMeasurement:
    """Metrics of images from any source.

    Args:
        source: Name, kind, n, shape, hash and decoder of the images, as from `Images.facts`.
        device: Type of the device that computed the metrics, such as ``cpu``.
        metrics: Each metric's record and reference by its label, without the reference, which all share.
    """

    source: JSONObject
    device: str
    metrics: dict[str, ReferencedMetric]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an item: (C, H, W) of an image, (D,) of a point."""
        shape = self.source["shape"]
        assert isinstance(shape, list)
        return tuple(int(f"{size}") for size in shape)

    def to_json(self) -> JSONObject:
        """As JSON data."""
        metrics: JSONObject = {label: metric.to_json() for label, metric in self.metrics.items()}
        return {"source": self.source, "device": self.device, "metrics": metrics}


def measure_images_of(
    source: str | Path | Images, metrics: Sequence[Metric], context: MetricContext
) -> ImageMeasurement:
    """The metrics of images, in one pass over them.

    Args:
        source: Images, or their name: a folder, an ``.npz``, a run, a data set.
        metrics: Metrics of images, as from `metrics_of`.
        context: Extractors, references and the device; opens the images and reports progress.

    Raises:
        BenchError: The images can't be read, a metric can't measure them, or its value is not finite.
    """
    images = source if isinstance(source, Images) else context.images(f"{source}")
    if images.note:
        context.emit(Notice(f"{images.name}: {images.note}"))
    for metric in metrics:
        _check_inputs(metric, context.registry)
        check_items(metric, images.shape, context)
        if isinstance(images, RunImages):
            check_recorded(metric, images.identity, context.registry)
    references = {metric.label: _reference(metric, context) for metric in metrics}
    phase, done = f"measuring {images.name}", 0
    context.emit(Advance(phase, 0, images.n, "images"))

    def advance(batch: Mapping[str, Tensor]) -> None:
        nonlocal done
        done += len(batch["images"])
        context.emit(Advance(phase, done, images.n, "images"))

    records = measure_batches(metrics, _batches(images), context, advance)
    results = {}
    for metric in metrics:
        reference, card = references[metric.label]
        results[_label(metric)] = ReferencedMetric(records[metric.label], reference, card)
    return ImageMeasurement(images.facts(context.emit), context.device.type, results)


def _check_inputs(metric: Metric | type[Metric], registry: Registry) -> None:
    """`BenchError` for a metric that reads more than images, with the tasks whose runs have what it reads."""
    if metric.has_companions():
        raise BenchError(
            f"{metric.name} compares with runs from the same prior noise: bench run --metric {metric.name} "
            "measures a run, and images alone have no such value"
        )
    missing = [name for name in metric.inputs if name != "images"]
    if not missing:
        return
    tasks = [
        name
        for name in registry.names("tasks")
        if set(metric.inputs) <= set(registry.get("tasks", name).thing.outputs)
    ]
    runs = f"runs of the task {' or '.join(tasks)}" if tasks else "runs of a task that returns them"
    raise BenchError(
        f"{metric.name} reads {', '.join(missing)}, which images alone do not have: measure {runs}, "
        "by bench run or bench measure"
    )


def _batches(images: Images) -> Iterator[Mapping[str, Tensor]]:
    for batch in images:
        yield {"images": batch}


def _label(metric: Metric) -> str:
    """The metric's label without the reference."""
    return metric.build({name: value for name, value in metric.values().items() if name != "reference"}).label


def _reference(metric: Metric, context: MetricContext) -> tuple[str, JSONObject]:
    """Name and card of a metric's reference; a reference that is images is measured now."""
    metric.provenance(context)
    if not isinstance(metric, FeatureMetric) or not metric.reference_name():
        return fixed_reference(metric, context), {}
    extractor = metric.extractor_plugin(context)
    name = metric.reference_name()
    return name, context.statistics(name, extractor, metric.rounding).card


def fixed_reference(metric: Metric, context: MetricContext) -> str:
    """The reference of a metric without the parameter ``reference``; empty where it needs none."""
    if isinstance(metric, FeatureMetric):
        return metric.reference_name()
    return ", ".join(metric.provenance(context))


def metrics_of(
    names: Sequence[str],
    parameters: Mapping[str, Any],
    context: MetricContext,
    objects: Objects | None = None,
) -> tuple[Metric, ...]:
    """Metrics of these names with these parameters; those with a parameter ``reference`` receive it.

    Raises:
        BenchError: A metric or parameter is unknown, or a metric reads more than images, or it has another,
            fixed reference.
    """
    registry = context.registry
    for name in names:
        _check_inputs(registry.get("metrics", name).thing, registry)
    takes = {
        name
        for name in names
        if "reference" in {parameter.name for parameter in registry.get("metrics", name).thing.parameters()}
    }
    values = dict(parameters)
    reference = values.get("reference")
    if isinstance(reference, str) and (full := context.dataset_name(reference)) is not None:
        values["reference"] = full  # cifar10 stands for cifar10-train
    passed = values if takes else {key: value for key, value in values.items() if key != "reference"}
    metrics = build_metrics(registry, list(names), passed, objects)
    for metric in metrics:
        fixed = "" if metric.name in takes else fixed_reference(metric, context)
        # the fixed references come from cifar10-train too: naming it is no contradiction
        if fixed and reference not in (None, fixed) and values["reference"] != "cifar10-train":
            raise BenchError(
                f"{metric.name} is always against {fixed}: leave out --reference, or take another --metric"
            )
    return metrics
