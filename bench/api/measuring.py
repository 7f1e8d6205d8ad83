"""Measuring: the metrics of images that exist, and of runs whose samples are on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bench.data.images import Images
from bench.data.memory import MemoryImages
from bench.devices import choose_device
from bench.errors import BenchError
from bench.events import Emit, silent
from bench.plan.building import build_metrics
from bench.plan.contexts import MetricContexts, metric_context
from bench.plan.installed import installed_registry
from bench.plan.objects import Selection, register_objects
from bench.plan.settings import results_folder, settings, suites
from bench.plugins.registry import Registry
from bench.results.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from bench.engine.foreign import ImageMeasurement
    from bench.engine.remeasuring import Remeasurement


def measure(
    images: str | Path | Tensor | NDArray[Any] | Images,
    *,
    metric: Selection | Sequence[Selection] = "fid",
    reference: str | Path | None = None,
    rounding: str | None = None,
    parameters: Mapping[str, object] | None = None,
    device: str | None = None,
    out: str | Path | None = None,
    registry: Registry | None = None,
    emit: Emit = silent,
) -> ImageMeasurement:
    """Measure images from any source: FID, or other metrics.

    Args:
        images: A folder of PNG, JPEG, WebP or BMP files, RGB or gray, an ``.npz`` of images (uint8,
            n x height x width x 3, or n x height x width) or points (floats, n x D), a run, a data set by
            name, a float tensor (n, C, H, W) on [0, 1], a uint8 array (n, H, W, C), or points (n, D).
        metric: One metric or several.
        reference: The reference of the metrics: a data set, statistics (``.npz``), or images. Default: each
            metric's own.
        rounding: How float samples become bytes: ``round`` or ``truncate``.
        parameters: Parameters of the metrics by name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        out: Results folder in which fingerprints of runs are looked up.
        registry: Plugins by name; None for the installed ones.
        emit: Receives progress events.

    Returns:
        Facts about the images, and each metric's value with its reference.

    Raises:
        BenchError: The images can't be read, or a metric can't measure them.
    """
    from bench.engine.foreign import measure_images_of, metrics_of

    if not isinstance(images, str | Path | Images):
        images = MemoryImages(images)
    registry, names, objects = register_objects(registry or installed_registry(), {"metric": metric})
    labels = names["metric"]
    own = dict(parameters or {})
    own |= {} if reference is None else {"reference": str(reference)}
    own |= {} if rounding is None else {"rounding": rounding}
    values: dict[str, object] = {"metric": [labels] if isinstance(labels, str) else labels}
    values |= {"parameters": {"metric": own}} | ({} if device is None else {"device": device})
    values |= {} if out is None else {"out": out}
    chosen, _ = settings(values)
    context = metric_context(chosen, registry, emit)
    metrics = metrics_of(chosen.metric, chosen.parameters.get("metric", {}), context, objects)
    return measure_images_of(images, metrics, context)


def remeasure(
    metric: Selection | Sequence[Selection],
    *,
    suite: str | None = None,
    checkpoint: str | None = None,
    parameters: Mapping[str, object] | None = None,
    device: str | None = None,
    out: str | Path | None = None,
    registry: Registry | None = None,
    emit: Emit = silent,
) -> list[Remeasurement]:
    """Add metrics to finished runs, from their samples on disk. Nothing is sampled.

    Args:
        metric: One metric or several.
        suite: Restricts the runs to a suite.
        checkpoint: Restricts the runs to a checkpoint.
        parameters: Parameters of the metrics by name.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        out: Results folder; None for that of bench.toml.
        registry: Plugins by name; None for the installed ones.
        emit: Receives progress events.

    Returns:
        The outcome for each record.

    Raises:
        BenchError: There is no such record, or a name or parameter is unknown.
        OSError: A record can't be written.
    """
    from bench.engine.remeasuring import measure_records

    registry, names, objects = register_objects(registry or installed_registry(), {"metric": metric})
    labels = names["metric"]
    values: dict[str, object] = {"metric": [labels] if isinstance(labels, str) else labels}
    values["parameters"] = {"metric": dict(parameters or {})}
    values |= {"device": device} if device is not None else {}
    chosen, _ = settings(values)
    root = results_folder(out)
    if not (root / "records").is_dir():
        if suite is not None:  # says what is wrong with the name, if something is
            Store(root, writes=False, emit=emit).suite_plans(suite, suites())
        raise BenchError(f"there are no results in {root}: bench run makes some, or choose another --out")
    contexts = MetricContexts(registry, root, emit)
    metrics = build_metrics(registry, chosen.metric, chosen.parameters.get("metric", {}), objects)
    return measure_records(
        metrics,
        Store(root, emit=emit),
        contexts.on(str(choose_device(chosen.device))),
        suite=suite,
        checkpoint=checkpoint,
        own_references="reference" not in chosen.parameters.get("metric", {}),
        emit=emit,
    )
