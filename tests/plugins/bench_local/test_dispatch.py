"""The rules of executors of other processes: who gets which batch, and what a worker's death means.

The workers here are names in a dictionary, and time is a number: no process, no thread.
"""

from __future__ import annotations

import dataclasses

import pytest

from bench import Batch, BatchFailure, BatchResult, Notice, Outcome, RunSpec, StepDone
from bench_local.dispatch import STRIKES, Dispatcher, Worker
from tests.support.plans import quick_spec
from tests.support.worker_work import FACTS


@dataclasses.dataclass(kw_only=True, eq=False)
class Stub(Worker):
    """A worker without a process."""


class Bench(Dispatcher[Stub]):
    """Workers that do what a test says."""

    def __init__(self, count: int, depth: int = 1, limit: float = 0.0, slow: bool = False) -> None:
        self.now = 0.0
        super().__init__(count, depth=depth, patience=10.0, limit=limit, clock=lambda: self.now)
        self.slow = slow
        self.sent: list[tuple[int, int, int]] = []

    def _start(self, number: int, batch: Batch) -> Stub:
        return Stub(number=number, ready=not self.slow)

    def _send(self, worker: Stub, batch: Batch, strikes: int) -> None:
        self.sent.append((worker.number, batch.index, strikes))

    def _listen(self) -> None: ...

    def _wake(self) -> None: ...

    def _end(self, worker: Stub) -> str:
        return "signal SIGKILL"

    def _end_all(self) -> None: ...

    def give(self, batches: list[Batch]) -> None:
        """Put batches, and send what can be sent."""
        for batch in batches:
            self.put(batch)
        self._feed()

    def finish(self, number: int) -> None:
        """A worker answers with its oldest batch."""
        worker = self._workers[number]
        self._take_outcome(worker, worker.batches[0], BatchResult({}, FACTS))
        self._feed()

    def die(self, number: int, *, strike: bool = True) -> None:
        """A worker dies."""
        self._replace(self._workers[number], "died", strike=strike)
        self._feed()

    def holds(self, number: int) -> list[int]:
        """The batches that a worker holds."""
        return [batch.index for batch in self._workers[number].batches]

    def outcomes_now(self) -> dict[int, Outcome]:
        """What was passed on until now."""
        outcomes: dict[int, Outcome] = {}
        while not self._out.empty():
            batch, outcome = self.get()
            if isinstance(outcome, BatchResult | BatchFailure):
                assert batch.index not in outcomes
                outcomes[batch.index] = outcome
        return outcomes


@pytest.fixture(scope="module")
def spec() -> RunSpec:
    return quick_spec(samples=160)


def batches_of(spec: RunSpec, count: int, first: int = 0) -> list[Batch]:
    return [Batch(spec, index) for index in range(first, first + count)]


def test_all_workers_get_one_batch_before_any_gets_two(spec: RunSpec) -> None:
    bench = Bench(3, depth=2)
    bench.give(batches_of(spec, 7))
    assert [(worker, index) for worker, index, _ in bench.sent] == [(0, 0), (1, 1), (2, 2), (0, 3), (1, 4)]
    assert bench.waiting == 2
    assert bench.pending == 7


def test_a_worker_starts_for_a_batch_that_none_will_take(spec: RunSpec) -> None:
    bench = Bench(4, slow=True)
    bench.give(batches_of(spec, 2))
    assert sorted(bench._workers) == [0, 1]
    assert bench.sent == []
    for worker in bench._workers.values():
        worker.ready = True
    bench._feed()
    assert len(bench.sent) == 2


def test_the_last_batches_go_to_who_is_free(spec: RunSpec) -> None:
    bench = Bench(2, depth=2)
    bench.give(batches_of(spec, 5))
    assert [bench.holds(0), bench.holds(1), bench.waiting] == [[0, 2], [1, 3], 1]
    bench.finish(1)
    assert [bench.holds(0), bench.holds(1), bench.waiting] == [[0, 2], [3], 1]
    bench.finish(1)
    assert [bench.holds(0), bench.holds(1), bench.waiting] == [[0, 2], [4], 0]


def test_a_worker_prefers_the_model_that_it_holds_but_no_batch_waits_for_ever(spec: RunSpec) -> None:
    card = spec.card.model_copy(update={"name": "another"})
    other = dataclasses.replace(spec, card=card)
    bench = Bench(2)
    bench.give([Batch(spec, 0), Batch(spec, 1), Batch(other, 2), *batches_of(spec, 5, first=3)])
    for _ in range(2):
        bench.finish(0)
    assert [index for _, index, _ in bench.sent] == [0, 1, 3, 4]  # batch 2 was passed by two
    bench.finish(0)
    assert bench.holds(0) == [2]


def test_the_death_of_a_worker_gives_the_batch_at_work_a_strike_and_no_other(spec: RunSpec) -> None:
    bench = Bench(1, depth=2)
    bench.give(batches_of(spec, 3))
    bench.die(0)
    assert bench.sent[-2:] == [(0, 0, 1), (0, 1, 0)]  # in their order, before batch 2
    for _ in range(3):
        bench.finish(0)
    outcomes = bench.outcomes_now()
    assert [outcomes[index].facts.retries for index in range(3)] == [1, 0, 0]  # type: ignore[union-attr]
    assert bench.pending == 0


def test_a_batch_of_three_strikes_fails_alone(spec: RunSpec) -> None:
    bench = Bench(1, depth=2)
    bench.give(batches_of(spec, 4))
    for _ in range(STRIKES):
        bench.die(0)
    for _ in range(3):
        bench.finish(0)
    outcomes = bench.outcomes_now()
    assert outcomes[0] == BatchFailure("its worker died 3 times (signal SIGKILL)", "")
    assert [type(outcomes[index]) for index in (1, 2, 3)] == [BatchResult] * 3


def test_where_the_machine_died_no_batch_has_a_strike(spec: RunSpec) -> None:
    bench = Bench(1, depth=2)
    bench.give(batches_of(spec, 2))
    for _ in range(2 * STRIKES):
        bench.die(0, strike=False)
    assert bench.sent[-2:] == [(0, 0, 0), (0, 1, 0)]
    bench.finish(0)
    bench.finish(0)
    assert all(isinstance(outcome, BatchResult) for outcome in bench.outcomes_now().values())


def test_innocent_batches_have_no_strikes_however_often_their_workers_die(spec: RunSpec) -> None:
    """A batch that kills its worker, with nineteen others in flight beside it: one failure, not twenty."""
    bench = Bench(2, depth=2)
    bench.give(batches_of(spec, 20))
    deaths = 0
    while bench.pending:
        killer = next((number for number in bench._workers if bench.holds(number)[:1] == [7]), None)
        if killer is not None:
            deaths += 1
            bench.die(killer)
        for number in list(bench._workers):
            if bench.holds(number) and bench.holds(number)[0] != 7:
                bench.finish(number)
        while not bench._out.empty():
            batch, outcome = bench.get()
            assert isinstance(outcome, BatchFailure) == (batch.index == 7)
    assert deaths == STRIKES


def test_a_worker_without_a_sign_of_life_is_replaced(spec: RunSpec) -> None:
    bench = Bench(1)
    bench.give(batches_of(spec, 1))
    bench.now = 9.0
    bench._replace_hung()
    bench._take_step(bench._workers[0], StepDone("f", 0, 1, 2, 1))
    bench.now = 18.0
    bench._replace_hung()
    assert bench.holds(0) == [0]
    bench.now = 20.0
    bench._replace_hung()
    assert not bench._workers
    bench._feed()
    assert bench.sent[-1] == (0, 0, 1)


def test_a_batch_that_takes_no_step_has_a_strike_though_its_worker_lives(spec: RunSpec) -> None:
    bench = Bench(1, limit=30.0)
    bench.give(batches_of(spec, 1))
    for _ in range(STRIKES):
        for _ in range(7):
            bench.now += 5.0
            if bench._workers:
                bench._workers[0].heard = bench.now
            bench._replace_hung()
        bench._feed()
    assert bench.outcomes_now()[0] == BatchFailure("its worker took no step for 30 s 3 times", "")


def test_the_time_in_which_nobody_listened_is_no_silence(spec: RunSpec) -> None:
    """The whole process group may be stopped for an hour, by Ctrl-Z."""

    class Stopped(Bench):
        def _listen(self) -> None:
            self.now += 3600.0
            self._closed = True

    bench = Stopped(2, limit=30.0)
    bench.give(batches_of(spec, 2))
    bench._run()
    assert [bench.holds(0), bench.holds(1)] == [[0], [1]]
    assert bench._strikes == {}
    bench.now += 11.0
    bench._replace_hung()
    assert not bench._workers


def test_an_idle_worker_may_be_silent(spec: RunSpec) -> None:
    bench = Bench(1, limit=30.0)
    bench.give(batches_of(spec, 1))
    bench.finish(0)
    bench.now = 1000.0
    bench._replace_hung()
    assert 0 in bench._workers


def test_a_notice_is_no_outcome(spec: RunSpec) -> None:
    bench = Bench(1)
    bench.give(batches_of(spec, 1))
    bench._notify("worker 1 is left out")
    batch, notice = bench.get()
    assert (batch.index, notice) == (0, Notice("worker 1 is left out"))
    assert bench.pending == 1


def test_an_error_of_the_thread_reaches_the_caller(spec: RunSpec) -> None:
    class Broken(Bench):
        def _start(self, number: int, batch: Batch) -> Stub:
            raise OSError(24, "Too many open files")

    with Broken(1) as bench, pytest.raises(OSError, match="Too many open files"):
        list(bench.outcomes(iter(batches_of(spec, 2))))
