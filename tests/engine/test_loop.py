"""The loop over batches: executors that break their duties, runs at two places, events, reruns."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bench
from bench import Batch, BenchError, Executor, Outcome
from bench.engine.loop import Engine
from bench.engine.session import Session
from bench.events import (
    Advance,
    BatchDone,
    Event,
    Notice,
    RunDone,
    RunMeasuring,
    RunStarted,
    StepDone,
    Working,
)
from bench.plan.settings import Settings
from bench.results.record import Record
from bench.results.run_spec import RunSpec
from bench.results.store import Store
from tests.support.executors import DropsTheLast, InTurn, Pool, Swallows, YieldsOneTwice
from tests.support.plans import QUICK, contexts, plan, quick_spec
from tests.support.plugins import installed

Work = Callable[[Batch], Outcome]
Pairs = Iterator[tuple[Batch, Outcome]]


def execute(
    specs: list[RunSpec],
    executor: Executor,
    root: Path,
    emit: Callable[[Event], None] = bench.silent,
    **options: Any,
) -> list[Record]:
    """Execute runs on a store."""
    engine = Engine(Store(root), executor, Session(installed()), contexts(), emit=emit, **options)
    return engine.execute(specs)


def two_runs() -> list[RunSpec]:
    """Two runs of two batches each."""
    return plan(Settings.model_validate(QUICK | {"repeats": 2}))


def test_events_of_a_run_in_their_order(tmp_path: Path) -> None:
    spec = quick_spec()
    events: list[Event] = []
    execute([spec], InTurn(), tmp_path, events.append)
    kinds = [type(event) for event in events if not isinstance(event, StepDone)]
    assert kinds == [RunStarted, BatchDone, BatchDone, RunMeasuring, RunDone]
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [(step.batch, step.done, step.total, step.calls) for step in steps] == [
        (batch, step, 30, step) for batch in (0, 1) for step in range(1, 31)
    ]
    assert {event.fingerprint for event in events if not isinstance(event, Notice | Working | Advance)} == {
        spec.fingerprint
    }


def test_a_run_at_two_places_is_done_once(tmp_path: Path) -> None:
    spec = quick_spec()
    events: list[Event] = []
    first, second = execute([spec, spec], InTurn(), tmp_path, events.append)
    assert first == second
    assert [event.batch for event in events if isinstance(event, BatchDone)] == [0, 1]
    assert [event.cached for event in events if isinstance(event, RunDone)] == [False, True]


class Nothing(Executor):
    """Takes no batch."""

    name = "nothing"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        return iter(())


class FailsAtThird(Executor):
    """Raises an error of its own when it takes the third batch."""

    name = "fails_at_third"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for number, batch in enumerate(batches):
            if number == 2:
                raise RuntimeError("a worker\ndied")
            yield batch, work(batch)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("executor", "statuses", "reason"),
    [
        (DropsTheLast(), ["finished", "failed"], "the executor drops_the_last lost 1 batches"),
        (Nothing(), ["failed", "failed"], "the executor nothing took no batch"),
        (
            FailsAtThird(),
            ["finished", "failed"],
            "RuntimeError: a worker died (executor fails_at_third)",
        ),
    ],
)
def test_an_executor_that_breaks_its_duties_fails_its_runs(
    tmp_path: Path, executor: Executor, statuses: list[str], reason: str
) -> None:
    records = execute(two_runs(), executor, tmp_path)
    assert [record.status for record in records] == statuses
    assert {record.reason for record in records if record.status == "failed"} == {reason}
    # sound executors complete them
    assert [record.status for record in execute(two_runs(), InTurn(), tmp_path)] == ["finished"] * 2


def test_a_batch_that_is_yielded_twice_counts_once(tmp_path: Path) -> None:
    records = execute(two_runs(), YieldsOneTwice(), tmp_path)
    assert [record.status for record in records] == ["finished"] * 2
    assert [len(record.batches) for record in records] == [2, 2]


def test_batches_are_unlocked_after_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> Outcome:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bench.engine.loop.attempt_batch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            execute(two_runs(), InTurn(), tmp_path)
    assert list(tmp_path.glob("samples/.*.lock")) == []
    assert [record.status for record in execute(two_runs(), InTurn(), tmp_path)] == ["finished"] * 2


def test_a_swallowed_interrupt_fails_the_run_and_hangs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.engine.loop.attempt_batch", interrupt)
    records = execute(two_runs(), Swallows(), tmp_path)
    assert [record.reason for record in records] == ["lost", "lost"]


def test_rerun_all_computes_every_batch_once(tmp_path: Path) -> None:
    execute(two_runs(), InTurn(), tmp_path)
    events: list[Event] = []
    records = execute(two_runs(), InTurn(), tmp_path, events.append, rerun="all")
    assert [event.batch for event in events if isinstance(event, BatchDone)] == [0, 1, 0, 1]
    assert [record.status for record in records] == ["finished"] * 2
    events.clear()
    execute(two_runs(), InTurn(), tmp_path, events.append)
    assert [event.cached for event in events] == [True, True]  # type: ignore[union-attr]


def test_a_run_whose_source_is_unknown_is_made_anew_and_reported(tmp_path: Path) -> None:
    spec = dataclasses.replace(quick_spec(), cacheable=False)
    execute([spec], InTurn(), tmp_path)
    events: list[Event] = []
    execute([spec], InTurn(), tmp_path, events.append)
    assert [event.batch for event in events if isinstance(event, BatchDone)] == [0, 1]
    (notice,) = [event.text for event in events if isinstance(event, bench.Notice)]
    assert notice == f"{spec.label}: the source of a plugin is not available, so the run is made anew"


def test_runs_csv_is_updated_while_a_plan_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.engine.loop.CSV_INTERVAL", 0.0)
    lines: list[int] = []

    def emit(event: Event) -> None:
        path = tmp_path / "runs.csv"
        if isinstance(event, RunStarted):
            lines.append(len(path.read_text().splitlines()) if path.exists() else 0)

    execute(two_runs(), InTurn(), tmp_path, emit)
    assert lines == [0, 2]
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 3


def test_an_in_memory_run_needs_an_executor_of_this_process(tmp_path: Path) -> None:
    spec = dataclasses.replace(quick_spec(), in_memory=True)
    begin = time.monotonic()
    with pytest.raises(BenchError, match="works in other processes"):
        execute([spec], Pool(), tmp_path)
    assert time.monotonic() - begin < 5  # no process was started


class LosesTheFirst(Executor):
    """Raises at the first batch of all."""

    name = "loses_the_first"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "calls", [])

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        calls: list[int] = vars(self)["calls"]
        calls.append(0)
        for batch in batches:
            if len(calls) == 1:
                raise RuntimeError("a worker died")
            yield batch, work(batch)


@pytest.mark.timeout(60)
def test_a_worker_that_dies_at_the_first_batch_takes_no_other_run_down(tmp_path: Path) -> None:
    records = execute(two_runs(), LosesTheFirst(), tmp_path)
    assert [record.status for record in records] == ["failed", "finished"]


class Unwritable(Executor):
    """Yields an outcome of the first run that no file can hold."""

    name = "unwritable"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for number, batch in enumerate(batches):
            outcome = work(batch)
            if number == 0 and isinstance(outcome, bench.BatchResult):
                images = outcome.outputs["images"].to_sparse()
                outcome = dataclasses.replace(outcome, outputs={"images": images})
            yield batch, outcome


@pytest.mark.timeout(60)
def test_tensors_that_no_file_can_hold_fail_their_run_alone(tmp_path: Path) -> None:
    records = execute(two_runs(), Unwritable(), tmp_path)
    assert [record.status for record in records] == ["failed", "finished"]
    assert "(executor" not in records[0].reason


class Nameless(bench.Metric):
    """Its label raises once it is measured."""

    name = "nameless"

    @property
    def label(self) -> str:
        raise LookupError("no label")

    def start(self, context: bench.MetricContext) -> bench.MetricState:
        raise NotImplementedError


@pytest.mark.timeout(60)
def test_a_metric_that_raises_at_the_look_up_fails_its_run_alone(tmp_path: Path) -> None:
    first, second = two_runs()
    execute([first, second], InTurn(), tmp_path)
    broken = dataclasses.replace(first, metrics=(Nameless(),))
    records = execute([broken, second], InTurn(), tmp_path)
    assert [record.status for record in records] == ["failed", "finished"]
    assert records[0].reason.startswith("LookupError: no label")
