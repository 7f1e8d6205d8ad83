"""The conformance kit passes sound executors, in this process and in others, and catches mistakes in both."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import Executor, assert_conforms
from bench.engine.executor import Batch, Outcome
from bench.testing.context import CheckContext
from bench.testing.executors import ExecutorCheck, NotedWork, planned_runs
from tests.support.checks import failures, report
from tests.support.executors import (
    DropsFailures,
    DropsTheLast,
    InTurn,
    MixesOutcomes,
    OneTwice,
    OtherThread,
    Pool,
    PoolDropsOne,
    PoolOneTwice,
    PoolSwallows,
    Retries,
    Swallows,
    YieldsOneTwice,
    processes,
)
from tests.support.plugins import installed


@pytest.fixture(scope="module", autouse=True)
def _processes() -> Iterator[None]:
    """Ends the processes of the pools that tests share."""
    yield
    processes().shutdown(cancel_futures=True)
    processes.cache_clear()


def test_a_sound_executor_passes() -> None:
    assert_conforms(InTurn, registry=installed())


def test_the_built_in_executors_pass() -> None:
    names = set(installed().names("executors"))
    assert "ray" in names  # its library is an extra: tests/plugins/bench_ray
    for name in names - {"ray"}:
        assert_conforms(name, registry=installed())


class TakesAll(InTurn):
    """Takes every batch before it computes one."""

    name = "takes_all"

    def map(
        self, work: Callable[[Batch], Outcome], batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome]]:
        yield from super().map(work, iter(list(batches)))


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (DropsTheLast, {"every batch once", "stream"}),
        (OneTwice, {"every batch once"}),
        (YieldsOneTwice, {"every batch once"}),
        (Swallows, {"interrupted"}),
        (Retries, {"a failing batch"}),
        (DropsFailures, {"a failing batch"}),
        (MixesOutcomes, {"every batch once", "a failing batch", "stream"}),
        (OtherThread, {"stream"}),
        (TakesAll, {"stream"}),
    ],
)
def test_a_mistaken_executor_is_caught(mistaken: type[Executor], caught: set[str]) -> None:
    assert failures(mistaken) == caught


def test_an_executor_of_other_processes_passes() -> None:
    result = report(Pool)
    assert result.passed, f"{result}"


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (PoolDropsOne, {"every batch once"}),
        (PoolOneTwice, {"every batch once"}),
        (PoolSwallows, {"interrupted"}),
    ],
)
def test_a_mistaken_executor_of_other_processes_is_caught(mistaken: type[Executor], caught: set[str]) -> None:
    assert failures(mistaken) == caught


def test_the_work_and_its_batches_are_plain_data(tmp_path: Path) -> None:
    spec = planned_runs(CheckContext(installed()))[0]
    work, batch = pickle.loads(pickle.dumps((NotedWork(tmp_path), Batch(spec, 1))))
    assert work(batch) == work(Batch(spec, 1))
    assert work.counts() == {batch.name: 2}


def test_the_stream_is_of_two_runs() -> None:
    case = ExecutorCheck(InTurn(), planned_runs(CheckContext(installed())))
    assert len({batch.name for batch in case.batches}) == len(case.batches) == 17
    assert len({batch.spec.key for batch in case.batches}) == 2


def test_a_failure_names_what_was_measured_and_required() -> None:
    with pytest.raises(
        AssertionError, match=r"drops_the_last:\n  every batch once: batch 16 was not computed"
    ):
        assert_conforms(DropsTheLast, registry=installed())
