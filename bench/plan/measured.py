"""Whether a record has a metric, with the same parameters, reference data and code."""

from __future__ import annotations

from collections.abc import Mapping

from bench.metrics.context import MetricContext
from bench.metrics.role import Metric
from bench.plan.fingerprint import metric_code
from bench.results.record import MetricRecord, Record
from bench.results.run_spec import RunSpec
from bench.types import JSONObject


def deciding_parameters(metric: Metric) -> JSONObject:
    """The parameters of a metric that decide its value."""
    values = metric.values()
    return {parameter.name: values[parameter.name] for parameter in metric.parameters() if parameter.decides}


def free_options(metric: Metric) -> JSONObject:
    """The parameters that do not decide the value and differ from their defaults."""
    deciding = deciding_parameters(metric)
    return {name: value for name, value in metric.changed().items() if name not in deciding}


def has_metric(
    result: MetricRecord | None,
    metric: Metric,
    context: MetricContext,
    companion_keys: Mapping[str, str] | None = None,
) -> bool:
    """Whether a result is of the same parameters, options, provenance and code as the metric.

    ``companion_keys`` are those of the run's companions that the metric reads, by name.
    """
    return (
        result is not None
        and result.parameters == deciding_parameters(metric)
        and result.details.get("options", {}) == free_options(metric)
        and result.provenance == metric.provenance(context)
        and result.companions == dict(companion_keys or {})
        and result.code == metric_code(metric, context) != ""
    )


def lacking_metrics(spec: RunSpec, record: Record, context: MetricContext) -> list[str]:
    """Labels of the run's metrics that its record lacks, or has from other parameters or reference data."""
    return [
        metric.label
        for metric in spec.metrics
        if not has_metric(
            record.metrics.get(metric.label), metric, context, spec.companion_keys(metric.label)
        )
    ]
