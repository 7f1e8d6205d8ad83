"""More metrics of recorded runs: outcomes, failures of one metric of several, suites."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from bench import BenchError, Metric, MetricContext, MetricResult, MetricState, Tensor, param
from bench.engine.remeasuring import count_outcomes, measure_records
from bench.errors import StoreError
from bench.events import Event, MetricsDone, RunMeasuring
from bench.results.record import BatchFacts, Record
from bench.results.store import Store
from tests.support import made_up
from tests.support.metrics import metric_context


class _Mean(MetricState):
    def __init__(self, metric: Mean) -> None:
        self.metric, self.n, self.sum = metric, 0, 0.0

    def update(self, images: Tensor) -> None:
        self.n += len(images)
        self.sum += float(images.sum())

    def compute(self) -> MetricResult:
        if self.metric.fails:
            raise ValueError("no\nmean")
        return MetricResult(self.metric.factor * self.sum / self.n, self.n)


class Mean(Metric):
    """The mean of rows of one number, times a factor."""

    name = "mean"
    fails: ClassVar[bool] = False

    factor: float = param(default=1.0, help="a factor")

    def start(self, context: MetricContext) -> MetricState:
        return _Mean(self)


class Broken(Mean):
    """Fails."""

    name = "broken"
    fails = True


class Infinite(Mean):
    """Infinite."""

    name = "infinite"

    def start(self, context: MetricContext) -> MetricState:
        return _Mean(Mean(factor=float("1e308")))


class OfLatents(Mean):
    """Reads what no run here returns."""

    name = "of_latents"
    inputs = ("latents",)


FACTS = BatchFacts(nfe=10, seconds=1.0, network_seconds=0.5, warm_seconds=0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A finished run of a batch of ones and one of threes, and a failed run."""
    store = Store(tmp_path)
    put_run(store, made_up.record())
    made_up.put(store, made_up.failed_record(index=1))
    return store


def put_run(store: Store, record: Record) -> None:
    """Put a record with its samples into a store."""
    made_up.put(store, record)
    for index, size in record.sample_batches:
        store.write_batch(record.key, index, size, {"images": torch.full((size, 1), 1.0 + 2 * index)}, FACTS)


def test_a_metric_is_added_and_then_there(store: Store) -> None:
    events: list[Event] = []
    (first,) = measure_records([Mean()], store, metric_context(), emit=events.append)
    assert (first.outcome, first.metrics["mean"].value, first.metrics["mean"].n) == ("measured", 2.0, 100)
    assert [type(event) for event in events] == [RunMeasuring, MetricsDone]
    current = store.read_record(first.record.fingerprint)
    assert current is not None
    assert set(current.metrics) == {made_up.METRIC, "mean"}
    (second,) = measure_records([Mean()], store, metric_context())
    assert (second.outcome, second.metrics) == ("complete", {})
    assert count_outcomes([first, second]) == {"measured": 1, "complete": 1}
    assert "mean" in (store.root / "runs.csv").read_text()


def test_of_several_metrics_one_fails_and_the_others_stay(store: Store) -> None:
    events: list[Event] = []
    (measurement,) = measure_records([Mean(), Broken()], store, metric_context(), emit=events.append)
    assert measurement.outcome == "failed"
    assert measurement.metrics.keys() == {"mean"}
    assert measurement.failures == {"broken": "ValueError: no mean"}
    assert Path(measurement.log).read_text().startswith("Traceback")
    done = events[-1]
    assert isinstance(done, MetricsDone)
    assert (done.failed, set(done.values), set(done.failures)) == (True, {"mean"}, {"broken"})
    current = store.read_record(measurement.record.fingerprint)
    assert current is not None
    assert (current.status, set(current.metrics)) == ("finished", {made_up.METRIC, "mean"})


def test_a_value_that_is_not_finite_is_a_failure_that_names_the_metric(store: Store) -> None:
    (measurement,) = measure_records([Infinite()], store, metric_context())
    assert measurement.failures == {"infinite": "infinite is inf on 100 samples: not a finite number"}
    assert "Infinity" not in store.record_path(measurement.record.fingerprint).read_text()


def test_samples_that_are_gone_or_of_another_task(store: Store) -> None:
    (unfit,) = measure_records([OfLatents()], store, metric_context())
    assert unfit.outcome == "unfit"
    store.batch_path(made_up.record().key, 1, 50).unlink()
    (gone,) = measure_records([Mean()], store, metric_context())
    assert gone.outcome == "no samples"


def test_a_damaged_batch_counts_as_gone(store: Store) -> None:
    path = store.batch_path(made_up.record().key, 1, 50)
    path.write_bytes(path.read_bytes()[:-1])
    (measurement,) = measure_records([Mean()], store, metric_context())
    assert (measurement.outcome, measurement.failures) == ("no samples", {})


def test_a_full_disk_ends_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(store, "write_record", full)
    with pytest.raises(StoreError):
        measure_records([Mean()], store, metric_context())


def test_records_of_a_suite_or_of_a_checkpoint(store: Store) -> None:
    """The record of the fixture is of the suite's first run."""
    store.write_suite(made_up.suite_plan("table1", seeds=1))
    put_run(store, made_up.record(fingerprint="f" * 16, key="outside"))
    (measurement,) = measure_records([Mean()], store, metric_context(), suite="table1")
    assert measurement.record.key == made_up.record().key
    (plan,) = store.read_suites("table1")
    assert plan.metrics == (made_up.METRIC, "mean")
    measurements = measure_records([Mean()], store, metric_context(), checkpoint="gaussian-cifar10")
    assert sorted(one.outcome for one in measurements) == ["complete", "measured"]
    with pytest.raises(BenchError, match=r"no finished record of checkpoint 'gausian-cifar10' .did you mean"):
        measure_records([Mean()], store, metric_context(), checkpoint="gausian-cifar10")
    with pytest.raises(BenchError, match=r"suite 'tabel1'.*.did you mean 'table1'"):
        measure_records([Mean()], store, metric_context(), suite="tabel1")
    with pytest.raises(BenchError, match="there is no finished record"):
        measure_records([Mean()], Store(store.root / "empty"), metric_context())
