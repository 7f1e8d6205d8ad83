"""Whether a record has a metric: of the same parameters and reference data."""

from __future__ import annotations

from pydantic import JsonValue

from bench.metrics.context import MetricContext
from bench.metrics.role import Metric
from bench.results.record import MetricRecord, Record
from bench.results.run_spec import RunSpec


def deciding_parameters(metric: Metric) -> dict[str, JsonValue]:
    """The parameters that a metric's value depends on."""
    decides = {parameter.name for parameter in metric.parameters() if parameter.decides}
    return {name: value for name, value in metric.values().items() if name in decides}


def has_metric(result: MetricRecord | None, metric: Metric, context: MetricContext) -> bool:
    """Whether a recorded value is of this metric with the same parameters and reference data."""
    return (
        result is not None
        and result.parameters == deciding_parameters(metric)
        and result.provenance == dict(metric.provenance(context))
    )


def lacking_metrics(spec: RunSpec, record: Record, context: MetricContext) -> list[str]:
    """Labels of the run's metrics that its record lacks, or has from other parameters or reference data."""
    return [
        metric.label
        for metric in spec.metrics
        if not has_metric(record.metrics.get(metric.label), metric, context)
    ]
