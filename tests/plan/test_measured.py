"""Whether a record has a metric: the same parameters, options, reference data and code."""

from __future__ import annotations

from typing import Any

import pytest

from bench import Metric, MetricContext, MetricState, param
from bench.plan.fingerprint import metric_code
from bench.plan.measured import deciding_parameters, free_options, has_metric, lacking_metrics
from bench.results.record import MetricRecord
from tests.support import made_up
from tests.support.metrics import metric_context
from tests.support.plans import quick_spec


class Scaled(Metric):
    """A metric of two parameters, of which one decides nothing."""

    name = "scaled"

    factor: float = param(default=1.0, help="a factor")
    replicates: int = param(default=10, help="replicates of an interval", decides=False)

    def start(self, context: MetricContext) -> MetricState:
        raise NotImplementedError

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return {"data": "0123"}


def record(metric: Metric, **changes: Any) -> MetricRecord:
    """What measuring the metric would leave."""
    fields: dict[str, Any] = {
        "metric": metric.name,
        "parameters": deciding_parameters(metric),
        "provenance": metric.provenance(metric_context()),
        "code": metric_code(metric, metric_context()),
        "details": {"options": free_options(metric)} if free_options(metric) else {},
    }
    return made_up.metric_record(**(fields | changes))


def test_parameters_that_decide_and_those_that_do_not() -> None:
    metric = Scaled(factor=2.0, replicates=20)
    assert deciding_parameters(metric) == {"factor": 2.0}
    assert free_options(metric) == {"replicates": 20}
    assert free_options(Scaled()) == {}


@pytest.mark.parametrize(
    ("changes", "current"),
    [
        ({}, True),
        ({"value": 3.0, "note": "n below 5"}, True),
        ({"parameters": {"factor": 3.0}}, False),
        ({"provenance": {"data": "4567"}}, False),
        ({"details": {"options": {"replicates": 20}}}, False),
        ({"code": "0" * 16}, False),
    ],
)
def test_a_metric_is_there_if_all_that_decides_it_is_equal(changes: dict[str, Any], current: bool) -> None:
    assert has_metric(record(Scaled(), **changes), Scaled(), metric_context()) is current
    assert not has_metric(None, Scaled(), metric_context())


def test_a_run_lacks_metrics_by_label() -> None:
    spec = quick_spec(metric=["fd_dct", "fd_cifar10"])
    fd_dct, fd_cifar10 = spec.metrics
    held = made_up.record(metrics={"fd_dct": record(fd_dct)})
    assert lacking_metrics(spec, held, metric_context()) == [fd_cifar10.label]
    stale = made_up.record(metrics={"fd_dct": record(fd_dct, code="")})
    assert lacking_metrics(spec, stale, metric_context()) == ["fd_dct", fd_cifar10.label]
