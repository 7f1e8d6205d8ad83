"""Metrics over batches of samples, in one pass, whatever their source."""

from __future__ import annotations

import dataclasses
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.devices import arithmetic
from bench.errors import BenchError
from bench.metrics.context import MetricContext
from bench.metrics.role import Metric, MetricState
from bench.plan.fingerprint import metric_code
from bench.plan.measured import deciding_parameters, free_options
from bench.results.record import MOST_BATCHES, BatchFacts, BatchRecord, Cost, MetricRecord, Record
from bench.results.run_spec import Companion, RunSpec
from bench.results.store import Store

if TYPE_CHECKING:
    from torch import Tensor

PREVIEW_SAMPLES = 64
"""Number of samples that a record's preview is made from, or up to a batch more; of points `POINTS`."""

Outputs = Mapping[str, "Tensor"]
"""Outputs of a task by name, a row per sample."""


def measure_batches(
    metrics: Sequence[Metric],
    batches: Iterable[Mapping[str, Tensor]],
    context: MetricContext,
    on_batch: Callable[[Mapping[str, Tensor]], None] | None = None,
    companions: Sequence[Companion] = (),
) -> dict[str, MetricRecord]:
    """The metrics of a stream of batches, by label.

    Args:
        metrics: Metrics to compute; their labels differ.
        batches: The task's outputs by name for each batch, a row per sample; images (B, C, H, W) on [0, 1].
        context: Extractors, reference statistics and the device.
        on_batch: Called with every batch after the metrics.
        companions: Runs that the metrics read beside the measured one; ``batches`` hold their outputs under
            `Companion.batch_name`.

    Returns:
        Records by label, with the parameters that decide a value. Those that do not decide it and differ from
        their defaults are in the details under ``options``.

    Raises:
        BenchError: A metric can't measure the samples, or its value is NaN or infinite.
    """
    # metrics compute in full float32, whatever the precision of the samples' network
    with arithmetic(context.device, tf32=False):
        states: list[tuple[Metric, MetricState]] = []
        for metric in metrics:
            with _errors_named_after(metric):
                states.append((metric, metric.start(context)))
        for batch in batches:
            for metric, state in states:
                with _errors_named_after(metric):
                    further = [one.batch_name for one in companions if one.metric == metric.label]
                    state.update(*(batch[name] for name in (*metric.inputs, *further)))
            if on_batch is not None:
                on_batch(batch)
        records: dict[str, MetricRecord] = {}
        for metric, state in states:
            with _errors_named_after(metric):
                keys = {one.name: one.spec.key for one in companions if one.metric == metric.label}
                records[metric.label] = _metric_record(metric, state, context, keys)
        return records


@contextmanager
def _errors_named_after(metric: Metric) -> Iterator[None]:
    """Note the metric in an error of its own; the reason of a failed run shows notes."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        error.add_note(f"metric {metric.label}")
        raise


def _metric_record(
    metric: Metric, state: MetricState, context: MetricContext, companion_keys: Mapping[str, str]
) -> MetricRecord:
    result = state.compute()
    if not math.isfinite(result.value):
        raise BenchError(f"{metric.label} is {result.value:g} on {result.n} samples: not a finite number")
    short = f"n below {metric.min_samples}" if result.n < metric.min_samples else ""
    without = state.leave_one_out()
    options = free_options(metric)
    return MetricRecord(
        metric=metric.name,
        value=float(result.value),
        n=result.n,
        error=None if result.error is None or not math.isfinite(result.error) else float(result.error),
        note=result.note or short,
        floor=None if result.floor is None else float(result.floor),
        details=_finite(result.details) | ({"options": options} if options else {}),
        direction=metric.direction,
        value_kind=result.value_kind or metric.value_kind,
        axis=metric.axis,
        bias=metric.bias,
        leave_one_out=tuple(map(float, without)) if all(map(math.isfinite, without)) else (),
        parameters=deciding_parameters(metric),
        provenance=metric.provenance(context),
        companions=dict(companion_keys),
        code=metric_code(metric, context),
    )


def _finite(plain: Any) -> Any:
    """JSON data with null for NaN and infinity, and lists for tuples."""
    if isinstance(plain, Mapping):
        return {str(key): _finite(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_finite(value) for value in plain]
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def stored_batches(
    store: Store, key: str, batches: Iterable[tuple[int, int]]
) -> Iterator[tuple[Outputs, BatchFacts]]:
    """Outputs and facts of stored batches; `BenchError` where one is missing or damaged."""
    for index, size in batches:
        batch = store.read_batch(key, index, size)
        if batch is None:
            raise BenchError(f"batch {index} of {key} is missing or damaged: run the same command again")
        yield batch


def with_theory(
    records: Mapping[str, MetricRecord], exact: Mapping[str, float], limit: Mapping[str, float]
) -> dict[str, MetricRecord]:
    """The records, with the exact values and the limits at tolerance 0 of those that have one."""
    return {
        label: record.model_copy(update={"exact": exact.get(label), "limit": limit.get(label)})
        for label, record in records.items()
    }


def with_parts(records: Mapping[str, MetricRecord], parts: Iterable[int | None]) -> dict[str, MetricRecord]:
    """The records, with a note where network calls were divided, for want of memory.

    Such samples are those of undivided calls to rounding, and not to the bit.

    Args:
        records: Records of metrics by label.
        parts: For each batch the states of a call; None for an undivided one.
    """
    least = min((part for part in parts if part is not None), default=None)
    if least is None:
        return dict(records)
    note = f"the network was called for {least} samples at a time, for want of memory: equal to rounding"
    return {
        label: record.model_copy(update={"note": f"{record.note}; {note}" if record.note else note})
        for label, record in records.items()
    }


def _companion_outputs(spec: RunSpec, store: Store, index: int) -> dict[str, Tensor]:
    """The outputs of one batch of a run's companions."""
    batches = {one.spec.key: one.spec for one in spec.companions}
    outputs = {
        key: next(stored_batches(store, key, [(index, companion.batch_samples(index))]))[0]
        for key, companion in batches.items()
    }
    return {one.batch_name: outputs[one.spec.key][one.output] for one in spec.companions}


@dataclasses.dataclass(frozen=True)
class RunMeasurement:
    """The fields of a `Record` that follow from the run's batches."""

    metrics: dict[str, MetricRecord]
    exact: dict[str, float]
    limit: dict[str, float]
    cost: Cost
    batches: tuple[BatchRecord, ...]
    preview: str

    def added_to(self, record: Record) -> Record:
        """The record with these fields."""
        return record.model_copy(update=vars(self))


def _truth(spec: RunSpec, context: MetricContext) -> Tensor | None:
    """Points that a scatter plot of a run's samples has behind them; None for images and where none are
    known."""
    import torch

    from bench.data.exact_draws import ExactDraws
    from bench.data.preview import POINTS

    card = spec.card
    if len(card.shape) != 1:
        return None
    try:
        if card.dataset:
            source = context.images(card.dataset)
        elif card.exact:
            source = ExactDraws(card, POINTS, POINTS)
        else:
            return None
        points: list[Tensor] = []
        for batch in source:
            points.append(batch)
            if sum(map(len, points)) >= POINTS:
                break
        return torch.cat(points)[:POINTS]
    except BenchError:  # a picture without the truth is better than a failed run
        return None


def measure_run(spec: RunSpec, store: Store, context: MetricContext) -> RunMeasurement:
    """Metrics, values by theory, cost, batches and preview of a run whose batches are on disk."""
    import torch

    from bench.data.preview import POINTS, preview_png

    previewed_samples = POINTS if len(spec.card.shape) == 1 else PREVIEW_SAMPLES
    exact = dict(spec.task.exact(spec.card, spec.sampler))
    limit = dict(spec.task.limit(spec.card, spec.sampler))
    previewed: list[Outputs] = []
    parts: set[int | None] = set()
    batches: list[BatchRecord] = []
    seconds, network_seconds = array("d"), array("d")
    warm_seconds, calls, most_calls = 0.0, 0.0, 0.0
    peaks: dict[str, int | None] = {"peak_host_bytes": None, "peak_gpu_bytes": None}

    def outputs() -> Iterator[Outputs]:
        nonlocal warm_seconds, calls, most_calls
        stored = stored_batches(store, spec.key, spec.batches())
        for (index, size), (batch, facts) in zip(spec.batches(), stored, strict=True):
            if index * spec.batch_size < previewed_samples:
                previewed.append(batch)
            if spec.batch_count <= MOST_BATCHES:
                batches.append(
                    BatchRecord(
                        size=size,
                        nfe=facts.nfe,
                        seconds=facts.seconds,
                        network_seconds=facts.network_seconds,
                        worker=facts.worker,
                        retries=facts.retries,
                        part=facts.part,
                    )
                )
            seconds.append(facts.seconds)
            parts.add(facts.part)
            network_seconds.append(facts.network_seconds)
            warm_seconds += facts.warm_seconds
            calls += facts.nfe * size
            most_calls = max(most_calls, facts.nfe if facts.nfe_max is None else facts.nfe_max)
            for name, peak in peaks.items():
                both = [one for one in (peak, getattr(facts, name)) if one is not None]
                peaks[name] = max(both, default=None)
            for name in batch:
                for prefix, values in (("exact_", exact), ("limit_", limit)):
                    if name.startswith(prefix):
                        label = name.removeprefix(prefix)
                        part = float(batch[name].double().sum()) / spec.samples
                        values[label] = values.get(label, 0.0) + part
            yield {**batch, **_companion_outputs(spec, store, index)}

    metrics = measure_batches(spec.metrics, outputs(), context, companions=spec.companions)
    total = math.fsum(seconds)
    nfe = calls / spec.samples
    cost = Cost(
        nfe=nfe,
        nfe_max=None if math.isclose(most_calls, nfe) else most_calls,
        seconds=total,
        samples_per_second=spec.samples / total,
        network_share=math.fsum(network_seconds) / total,
        warm_seconds=warm_seconds,
        **peaks,
    )
    names = previewed[0].keys()
    preview = spec.task.preview({name: torch.cat([batch[name] for batch in previewed]) for name in names})
    png = None if preview is None else preview_png(*preview, spec.card.data_range, _truth(spec, context))
    path = "" if png is None else str(store.write_image(spec.fingerprint, png))
    metrics = with_parts(with_theory(metrics, exact, limit), parts)
    return RunMeasurement(metrics, exact, limit, cost, tuple(batches), path)
