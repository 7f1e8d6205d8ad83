"""The time that is left, by the pace of records."""

from __future__ import annotations

from bench.plan.forecast import Forecast
from tests.support.plans import quick_spec


def test_what_a_run_took_counts_for_the_others() -> None:
    """16 samples of 30 calls in 48 s are 0.1 s a call."""
    forecast = Forecast(3)
    a, b, other = quick_spec(), quick_spec(seed=1), quick_spec(checkpoint=["gmm-cifar10"])
    for run in (a, b, other):
        forecast.add(run, 16, 30.0)
    assert forecast.rest() == (0.0, 3)
    forecast.finish(a.fingerprint, 30.0, 48.0)
    assert a.fingerprint not in forecast
    assert forecast.seconds(a.fingerprint) == 0.0
    assert forecast.seconds(b.fingerprint) == 48.0
    assert forecast.seconds(other.fingerprint) is None
    assert forecast.rest() == (48.0, 1)
    assert forecast.rest({b.fingerprint}) == (0.0, 1)


def test_a_run_without_calls_or_cost_teaches_nothing() -> None:
    forecast = Forecast(2)
    a, b = quick_spec(), quick_spec(seed=1)
    for run in (a, b):
        forecast.add(run, 16, 30.0)
    forecast.finish("another", 1.0, 1.0)
    forecast.finish(a.fingerprint, 0.0, 1.0)
    assert forecast.rest() == (0.0, 1)


def test_samples_on_disk_take_no_time_and_unknown_calls_an_unknown_one() -> None:
    forecast = Forecast(2)
    a, b = quick_spec(), quick_spec(solver=["rk45"])
    forecast.add(a, 0, 30.0)
    forecast.add(b, 16, None)
    assert forecast.rest() == (0.0, 1)
