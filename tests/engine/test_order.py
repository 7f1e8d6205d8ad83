"""The order of runs: what metrics read first, then whole checkpoints, the longest batches first."""

from __future__ import annotations

from bench.engine.order import in_order
from bench.plan.forecast import Forecast
from bench.results.run_spec import RunSpec
from tests.support import made_up
from tests.support.plans import quick_spec


def runs() -> list[RunSpec]:
    """Two checkpoints by three numbers of steps."""
    return [
        quick_spec(checkpoint=[name], steps=steps, grid="logsnr")
        for steps in (10, 30, 20)
        for name in ("gaussian-cifar10", "gmm-cifar10")
    ]


def names(specs: list[RunSpec]) -> list[tuple[str, int]]:
    return [(spec.card.name, spec.planned_nfe or 0) for spec in specs]


def forecast_of(specs: list[RunSpec]) -> Forecast:
    """What a record of each checkpoint tells: a call takes a second on one, two on the other."""
    records = []
    for spec, pace in zip(specs, (1.0, 2.0), strict=False):
        cost = made_up.record().cost
        assert cost is not None
        seconds = spec.samples * (spec.planned_nfe or 0) * pace
        own = cost.model_copy(update={"nfe": float(spec.planned_nfe or 0), "seconds": seconds})
        changes = {"identity": spec.identity, "samples": spec.samples, "cost": own}
        records.append(made_up.record().model_copy(update=changes))
    forecast = Forecast(len(specs), records, at_once=2)
    for spec in specs:
        forecast.add(spec, spec.samples, float(spec.planned_nfe or 0))
    return forecast


def test_without_a_forecast_the_plan_decides_but_for_what_metrics_read() -> None:
    specs = runs()
    assert in_order(specs) == specs
    assert in_order(specs, {specs[4].fingerprint})[0] == specs[4]


def test_checkpoints_follow_one_another_and_the_longest_batches_come_first() -> None:
    specs = runs()
    order = names(in_order(specs, (), forecast_of(specs)))
    assert order == [
        *(("gmm-cifar10", steps) for steps in (30, 20, 10)),
        *(("gaussian-cifar10", steps) for steps in (30, 20, 10)),
    ]


def test_a_run_of_unknown_time_comes_first() -> None:
    specs = runs()
    forecast = Forecast(len(specs), at_once=2)
    known = forecast_of(specs[:1])
    assert known.batch_seconds(specs[0]) == specs[0].batch_size * 10
    assert forecast.batch_seconds(specs[0]) is None
    assert names(in_order(specs[:2], (), known))[0][0] == "gmm-cifar10"
