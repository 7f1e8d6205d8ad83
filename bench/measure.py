"""Metrics over stored samples: one pass over the batches, whoever sampled them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.metrics import Metric

if TYPE_CHECKING:
    from torch import Tensor, device

    from bench.store import Store

Seen = Callable[[dict[str, "Tensor"], dict[str, Any]], None]


def metric_facts(metric: Metric) -> dict[str, Any]:
    """Parameters and reference data of a metric: a reading with others is not the same one."""
    return {"parameters": metric.values(), "provenance": metric.provenance()}


def readings(
    metrics: Sequence[Metric],
    store: Store,
    key: str,
    batches: Sequence[tuple[int, int]],
    device: device,
    seen: Seen | None = None,
) -> dict[str, dict[str, Any]]:
    """The metrics of the stored batches, as a record has them; ``seen`` is shown every batch.

    `BenchError` where a batch is missing or damaged.
    """
    begun = [(metric, metric.start(device)) for metric in metrics]
    for index, size in batches:
        stored = store.read_batch(key, index, size)
        if stored is None:
            raise BenchError(f"batch {index} of {key} vanished or is damaged: run the same command again")
        for metric, measured in begun:
            measured.add(*(stored[0][name] for name in metric.reads))
        if seen is not None:
            seen(*stored)
    found: dict[str, dict[str, Any]] = {}
    for metric, measured in begun:
        reading = measured.result()
        note = reading.note or (f"n below {metric.least}" if reading.n < metric.least else "")
        found[metric.label] = {
            "value": reading.value,
            "n": reading.n,
            "error": reading.error,
            "note": note,
            "details": reading.details,
            "direction": metric.direction,
            "bias": metric.bias,
            "leave_one_out": measured.leave_one_out(),
            "with": metric_facts(metric),
        }
    return found


def with_exact(found: dict[str, dict[str, Any]], exact: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """Readings with the exact value beside each that has one."""
    return {k: v | ({"exact": exact[k]} if k in exact else {}) for k, v in found.items()}
