"""Metrics over stored samples: one pass over the batches, whoever sampled them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor

    from bench.results.run_spec import RunSpec
    from bench.results.store import Store

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.metrics.role import Metric

if TYPE_CHECKING:
    from torch import Tensor, device

    from bench.results.store import Store


PICTURED = 64
"""Samples that a record's picture is made of, at least."""


def _measure(cell: RunSpec, store: Store) -> dict[str, Any]:
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

    found = readings(cell.metrics, store, cell.key, cell.batches, torch.device(cell.device), seen)
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
            measured.update(*(stored[0][name] for name in metric.inputs))
        if seen is not None:
            seen(*stored)
    found: dict[str, dict[str, Any]] = {}
    for metric, measured in begun:
        reading = measured.compute()
        note = reading.note or (f"n below {metric.min_samples}" if reading.n < metric.min_samples else "")
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
