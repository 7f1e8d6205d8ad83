"""More metrics of recorded runs, from the samples on disk; nothing is sampled."""

from __future__ import annotations

import dataclasses
import functools
import traceback
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from bench.engine.measuring import measure_batches, stored_batches, with_parts, with_theory
from bench.errors import BenchError, NoValueError, StoreError, did_you_mean
from bench.events import Emit, MetricsDone, RunMeasuring, RunWaiting, silent
from bench.metrics.context import MetricContext
from bench.metrics.features import check_items
from bench.metrics.role import Metric
from bench.plan.building import check_recorded, with_reference
from bench.plan.measured import has_metric
from bench.plan.settings import suites
from bench.results.manifest import SuitePlan
from bench.results.record import MetricRecord, Record
from bench.results.store import Store

Outcome = Literal["measured", "complete", "no samples", "unfit", "failed"]
"""The outcome for a record: metrics were computed; it has all of them already; its samples are gone; the
metrics have no value for its task or sampler; a metric failed."""


@dataclasses.dataclass(frozen=True)
class Remeasurement:
    """The outcome for one record.

    ``metrics`` are the new values by label, ``failures`` the reasons of metrics that failed, by label, and
    ``log`` the path of their tracebacks.
    """

    record: Record
    outcome: Outcome
    metrics: dict[str, MetricRecord] = dataclasses.field(default_factory=dict)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    log: str = ""


def count_outcomes(measurements: Sequence[Remeasurement]) -> Counter[Outcome]:
    """Number of records by outcome."""
    return Counter(measurement.outcome for measurement in measurements)


def measure_records(
    metrics: Sequence[Metric],
    store: Store,
    context: MetricContext,
    *,
    suite: str | None = None,
    checkpoint: str | None = None,
    own_references: bool = False,
    emit: Emit = silent,
) -> list[Remeasurement]:
    """Add metrics to the finished records of a store; a record that has a metric keeps its value.

    Args:
        metrics: Metrics to add.
        store: Results folder.
        context: Extractors, references and the device.
        suite: Restricts the records to a suite.
        checkpoint: Restricts the records to a checkpoint.
        own_references: Whether each record is compared with its checkpoint's own data, as a run without
            a named reference is (`with_reference`).
        emit: Receives `RunMeasuring` and `MetricsDone` for each record.

    Raises:
        BenchError: There is no such record, or a file that a metric needs is missing.
        StoreError: A record can't be written.
    """
    for metric in metrics:
        if metric.has_companions():
            raise BenchError(
                f"{metric.name} reads further runs: give --metric {metric.name} to the bench run command of "
                "these runs, which keeps their samples"
            )
    plans = store.suite_plans(suite, suites()) if suite is not None else []
    records = _selected_records(store, plans if suite is not None else None, checkpoint)
    by_record = [
        [_with_own_reference(one, record, context) if own_references else one for one in metrics]
        for record in records
    ]
    _check_files(by_record, records, context)
    measurements: list[Remeasurement] = []
    try:
        for record, its_metrics in zip(records, by_record, strict=True):
            emit(RunMeasuring(record.fingerprint, record.label))
            measurement = _measure_record(record, its_metrics, store, context, emit)
            measurements.append(measurement)
            values = {label: result.value for label, result in measurement.metrics.items()}
            notes = {label: result.note for label, result in measurement.metrics.items()}
            emit(
                MetricsDone(
                    record.fingerprint,
                    record.label,
                    measurement.outcome == "failed",
                    values,
                    notes,
                    measurement.failures,
                    measurement.log,
                )
            )
    finally:
        for plan in plans:
            labels = dict.fromkeys(metric.label for its_metrics in by_record for metric in its_metrics)
            _list_metrics(store, plan, [*labels])
        store.write_csv()
    return measurements


def _with_own_reference(metric: Metric, record: Record, context: MetricContext) -> Metric:
    """The metric against the data of the record's checkpoint; as it is where there is no such checkpoint."""
    name = record.identity.checkpoint.name
    known = name in context.registry.names("checkpoints")
    return with_reference(metric, context.registry.get("checkpoints", name).thing) if known else metric


def _check_files(
    by_record: Sequence[Sequence[Metric]], records: Sequence[Record], context: MetricContext
) -> None:
    """`BenchError` where a metric's file is missing: one error before the first record, not one for each."""
    checked: list[Metric] = []
    for record, metrics in zip(records, by_record, strict=True):
        for metric in metrics:
            if metric in checked or not set(metric.inputs) <= set(record.outputs):
                continue
            checked.append(metric)
            try:
                metric.provenance(context)
            except BenchError:
                raise
            except Exception:
                continue  # the metric's own fault: each record reports it, with a log


def _selected_records(
    store: Store, plans: Sequence[SuitePlan] | None, checkpoint: str | None
) -> list[Record]:
    records = [record for record in store.records() if record.status == "finished"]
    if not records:
        raise BenchError(f"there is no finished record in {store.root}: bench run makes some")
    if plans is not None:
        fingerprints = {run.fingerprint for plan in plans for run in plan.cells}
        records = [record for record in records if record.fingerprint in fingerprints]
        if not records:
            raise BenchError(f"no run of suite {plans[0].suite} is finished in {store.root}")
    if checkpoint is None:
        return records
    names = {record.identity.checkpoint.name for record in records}
    if checkpoint not in names:
        raise BenchError(f"no finished record of checkpoint {checkpoint!r}{did_you_mean(checkpoint, names)}")
    return [record for record in records if record.identity.checkpoint.name == checkpoint]


def _measure_record(
    record: Record, metrics: Sequence[Metric], store: Store, context: MetricContext, emit: Emit
) -> Remeasurement:
    """Compute what a record lacks and write it anew."""
    try:
        fitting = [metric for metric in metrics if _has_value(metric, record, context)]
    except BenchError as error:  # a plugin of the run is gone
        return Remeasurement(record, "failed", failures={metric.label: _reason(error) for metric in metrics})

    def lacking(held: Record) -> list[Metric]:
        return [one for one in fitting if not has_metric(held.metrics.get(one.label), one, context)]

    def without_samples() -> bool:
        return 0 in store.stored_batches(record.key, record.sample_batches)

    if not fitting:
        return Remeasurement(record, "unfit")
    if not lacking(record):
        return Remeasurement(record, "complete")
    if without_samples():
        return Remeasurement(record, "no samples")
    waiting = RunWaiting(record.fingerprint, record.label)
    with store.locked(record.fingerprint, functools.partial(emit, waiting)):
        current = store.read_record(record.fingerprint)
        if current is None or current.status != "finished":  # another process makes it anew
            return Remeasurement(record, "no samples")
        results, errors = _results(lacking(current), current, store, context)
        if errors and without_samples():  # a batch is damaged, which the store reported
            return Remeasurement(record, "no samples")
        if results:
            current = current.model_copy(update={"metrics": current.metrics | results})
            store.write_record(current)
        if errors:
            texts = ["".join(traceback.format_exception(error)) for error in errors.values()]
            log = store.write_log(record.fingerprint, "\n".join(texts))
            reasons = {label: _reason(error) for label, error in errors.items()}
            return Remeasurement(current, "failed", results, reasons, str(log))
    return Remeasurement(current, "measured" if results else "complete", results)


def _has_value(metric: Metric, record: Record, context: MetricContext) -> bool:
    """Whether a record's task returns what the metric reads, and its sampler is one that it measures."""
    if not set(metric.inputs) <= set(record.outputs):
        return False
    try:
        check_recorded(metric, record.identity, context.registry)
    except NoValueError:
        return False
    return True


def _results(
    metrics: Sequence[Metric], record: Record, store: Store, context: MetricContext
) -> tuple[dict[str, MetricRecord], dict[str, Exception]]:
    """Values by label, and the errors of the metrics that failed."""
    shape = record.identity.checkpoint.shape
    batches = (outputs for outputs, _ in stored_batches(store, record.key, record.sample_batches))
    try:
        for metric in metrics:
            check_items(metric, shape, context)
        measured = with_theory(measure_batches(metrics, batches, context), record.exact, record.limit)
        return with_parts(measured, (batch.part for batch in record.batches)), {}
    except StoreError:
        raise
    except Exception as error:
        if len(metrics) == 1:
            return {}, {metrics[0].label: error}
    # one of several failed: compute them one by one, to keep the others
    results: dict[str, MetricRecord] = {}
    errors: dict[str, Exception] = {}
    for metric in metrics:
        one, failure = _results([metric], record, store, context)
        results |= one
        errors |= failure
    return results, errors


def _reason(error: Exception) -> str:
    text = " ".join(f"{error}".split())
    return text if isinstance(error, BenchError) else f"{type(error).__name__}: {text}"


def _list_metrics(store: Store, plan: SuitePlan, labels: Sequence[str]) -> None:
    """Add to a suite's plan the metrics that one of its records now has."""
    records = [store.read_record(run.fingerprint) for run in plan.cells]
    held = {label for record in records if record is not None for label in record.metrics}
    metrics = tuple(dict.fromkeys([*plan.metrics, *(label for label in labels if label in held)]))
    if metrics != plan.metrics:
        store.write_suite(plan.model_copy(update={"metrics": metrics}))
