"""Metrics over stored samples: one pass over the batches, whoever sampled them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.results.record import MetricRecord
from bench.types import JSONObject

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.context import MetricContext
    from bench.metrics.role import Metric, MetricState
    from bench.results.run_spec import RunSpec
    from bench.results.store import Store


PICTURED = 64
"""Samples that a record's picture is made of, at least."""


def _measure(cell: RunSpec, store: Store, context: MetricContext) -> dict[str, Any]:
    """One pass over the stored batches: cost, every metric, the grid of samples."""
    import torch

    from bench.data.preview import grid_png

    seconds = network = calls = warm = 0.0
    first: list[dict[str, Tensor]] = []
    batches: list[dict[str, Any]] = []
    exact = dict(cell.task.exact(cell.card, cell.sampler))

    def seen(left: dict[str, Tensor], facts: dict[str, Any]) -> None:
        nonlocal seconds, network, calls, warm
        size = cell.batches[len(batches)][1]
        seconds += facts["seconds"]
        network += facts["network_seconds"]
        warm += facts["warm_seconds"]
        calls += facts["nfe"] * size
        for name in left:
            if not name.startswith("exact_"):
                continue
            label = name.removeprefix("exact_")
            exact[label] = exact.get(label, 0.0) + float(left[name].double().sum()) / cell.samples
        if sum(batch["size"] for batch in batches) < PICTURED:
            first.append(left)
        batches.append({"size": size} | {k: facts[k] for k in ("nfe", "seconds", "network_seconds")})

    found = readings(cell.metrics, store, cell.key, cell.batches, context, seen)
    nfe = calls / cell.samples
    cost = {
        "nfe": int(nfe) if nfe == int(nfe) else nfe,
        "seconds": seconds,
        "samples_per_second": cell.samples / seconds,
        "network_share": network / seconds,
        "warm_seconds": warm,
    }
    measured = {"metrics": with_exact(found, exact), "exact": exact, "cost": cost, "batches": batches}
    pictured = cell.task.preview({name: torch.cat([left[name] for left in first]) for name in first[0]})
    if pictured is None:
        return measured
    return measured | {"preview": str(store.write_image(cell.fingerprint, grid_png(*pictured)))}


Seen = Callable[[dict[str, "Tensor"], dict[str, Any]], None]


def metric_facts(metric: Metric, context: MetricContext) -> dict[str, Any]:
    """Parameters and reference data of a metric: a reading with others is not the same one."""
    return {"parameters": metric.values(), "provenance": metric.provenance(context)}


def measure_batches(
    metrics: Sequence[Metric],
    batches: Iterable[Mapping[str, Tensor]],
    context: MetricContext,
    on_batch: Callable[[Mapping[str, Tensor]], None] | None = None,
) -> dict[str, MetricRecord]:
    """The metrics of a stream of batches, by label.

    Args:
        metrics: Metrics to compute; their labels differ.
        batches: Of each batch the task's outputs by name, a row per sample; images (B, C, H, W) on [0, 1].
        context: What the metrics use.
        on_batch: Called with every batch once the metrics have it.

    Returns:
        Records with the parameters that decide a value. Those that do not, and differ from their defaults,
        are in the details under ``options``.

    Raises:
        BenchError: A metric can't measure the samples, or its value is NaN or infinite.
    """
    states = [(metric, metric.start(context)) for metric in metrics]
    for batch in batches:
        for metric, state in states:
            state.update(*(batch[name] for name in metric.inputs))
        if on_batch is not None:
            on_batch(batch)
    return {metric.label: _metric_record(metric, state, context) for metric, state in states}


def is_current(metric: Metric, record: MetricRecord | None, context: MetricContext) -> bool:
    """Whether a record holds what the metric would compute: same parameters, options and provenance."""
    return (
        record is not None
        and record.parameters == deciding_parameters(metric)
        and record.details.get("options", {}) == _options(metric)
        and record.provenance == metric.provenance(context)
    )


def deciding_parameters(metric: Metric) -> JSONObject:
    """The parameters of a metric that decide its value."""
    values = metric.values()
    return {parameter.name: values[parameter.name] for parameter in metric.parameters() if parameter.decides}


def _options(metric: Metric) -> JSONObject:
    """The parameters that do not decide the value and differ from their defaults."""
    deciding = deciding_parameters(metric)
    return {name: value for name, value in metric.changed().items() if name not in deciding}


def _metric_record(metric: Metric, state: MetricState, context: MetricContext) -> MetricRecord:
    result = state.compute()
    if not math.isfinite(result.value):
        raise BenchError(f"{metric.label} is {result.value:g} on {result.n} samples: not a finite number")
    short = f"n below {metric.min_samples}" if result.n < metric.min_samples else ""
    without = state.leave_one_out()
    options = _options(metric)
    return MetricRecord(
        metric=metric.name,
        value=float(result.value),
        n=result.n,
        error=None if result.error is None or not math.isfinite(result.error) else float(result.error),
        note=result.note or short,
        details=_finite(result.details) | ({"options": options} if options else {}),
        direction=metric.direction,
        bias=metric.bias,
        leave_one_out=tuple(map(float, without)) if all(map(math.isfinite, without)) else (),
        parameters=deciding_parameters(metric),
        provenance=metric.provenance(context),
    )


def _finite(plain: Any) -> Any:
    """JSON data with null for numbers that JSON does not have, and lists for tuples."""
    if isinstance(plain, Mapping):
        return {str(key): _finite(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_finite(value) for value in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def readings(
    metrics: Sequence[Metric],
    store: Store,
    key: str,
    batches: Sequence[tuple[int, int]],
    context: MetricContext,
    seen: Seen | None = None,
) -> dict[str, dict[str, Any]]:
    """The metrics of the stored batches, as a record has them; ``seen`` is shown every batch.

    `BenchError` where a batch is missing or damaged.
    """

    def stored() -> Iterator[dict[str, Tensor]]:
        for index, size in batches:
            batch = store.read_batch(key, index, size)
            if batch is None:
                raise BenchError(f"batch {index} of {key} vanished or is damaged: run the same command again")
            yield batch[0]
            if seen is not None:
                seen(*batch)

    records = measure_batches(metrics, stored(), context)
    return {m.label: _plain(records[m.label], m) for m in metrics}


def _plain(record: MetricRecord, metric: Metric) -> dict[str, Any]:
    plain = record.model_dump(mode="json", exclude={"metric", "parameters", "provenance", "exact"})
    plain["details"].pop("options", None)
    return plain | {"with": {"parameters": metric.values(), "provenance": record.provenance}}


def with_exact(found: dict[str, dict[str, Any]], exact: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Readings with the exact value beside each that has one."""
    return {k: v | ({"exact": exact[k]} if k in exact else {}) for k, v in found.items()}
