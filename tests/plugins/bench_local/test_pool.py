"""The workers of the executor ``local``: every batch once, and what happens when a worker dies."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import Batch, BatchFailure, BatchResult, FolderWork, RunSpec, StepDone
from bench.events import Notice
from bench.results.store import Store
from bench_local import Local
from bench_local.pool import MALLOC, Pool
from tests.support.plans import quick_spec
from tests.support.runs import exit_status
from tests.support.worker_work import Announcing, Fatal, Variable


@pytest.fixture(scope="module")
def spec() -> RunSpec:
    return quick_spec(samples=48)


def outcomes_of(
    work: Fatal, spec: RunSpec, *, patience: float = 60.0
) -> dict[int, BatchResult | BatchFailure]:
    """Outcomes of six batches by two workers, by index; each comes once."""
    outcomes: dict[int, BatchResult | BatchFailure] = {}
    batches = [Batch(spec, index) for index in range(6)]
    for batch, outcome in Local(workers=2, patience=patience).map(work, iter(batches)):
        if isinstance(outcome, BatchResult | BatchFailure):
            assert batch.index not in outcomes
            outcomes[batch.index] = outcome
    assert outcomes.keys() == set(range(6))
    return outcomes


def test_every_batch_is_computed_once_and_taken_by_the_calling_thread(spec: RunSpec, tmp_path: Path) -> None:
    work = Fatal(tmp_path)
    threads = set()

    def stream() -> Iterator[Batch]:
        for index in range(6):
            threads.add(threading.get_ident())
            yield Batch(spec, index)

    seen = [(batch.index, type(outcome)) for batch, outcome in Local(workers=2).map(work, stream())]
    assert sorted(index for index, kind in seen if kind is BatchResult) == list(range(6))
    assert threads == {threading.get_ident()}
    assert [work.count(index) for index in range(6)] == [1] * 6
    assert len(work.workers()) == 2


def test_ctrl_c_where_batches_are_taken_passes_through(spec: RunSpec, tmp_path: Path) -> None:
    def stream() -> Iterator[Batch]:
        yield Batch(spec, 0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Local(workers=2).map(Fatal(tmp_path), stream()))


@pytest.mark.parametrize("times", [1, 2])
def test_the_batch_of_a_worker_that_dies_is_tried_again(times: int, spec: RunSpec, tmp_path: Path) -> None:
    work = Fatal(tmp_path, bad=2, times=times)
    outcomes = outcomes_of(work, spec)
    for index, outcome in outcomes.items():
        assert isinstance(outcome, BatchResult)
        assert outcome.facts.retries == (times if index == 2 else 0)
        assert outcome.facts.worker in (0, 1)
        assert work.count(index) == (times + 1 if index == 2 else 1)


def test_a_batch_that_kills_three_workers_fails_alone(spec: RunSpec, tmp_path: Path) -> None:
    work = Fatal(tmp_path, bad=0, times=99)
    outcomes = outcomes_of(work, spec)
    assert outcomes.pop(0) == BatchFailure("its worker died 3 times (signal SIGKILL)", "")
    assert all(isinstance(outcome, BatchResult) for outcome in outcomes.values())
    assert work.count(0) == 3


def test_a_worker_without_a_sign_of_life_is_replaced(spec: RunSpec, tmp_path: Path) -> None:
    outcomes = outcomes_of(Fatal(tmp_path, bad=1, signal=signal.SIGSTOP), spec, patience=4.0)
    outcome = outcomes[1]
    assert isinstance(outcome, BatchResult)
    assert outcome.facts.retries == 1


def test_one_worker_does_one_batch_at_a_time(spec: RunSpec, tmp_path: Path) -> None:
    with Pool(Fatal(tmp_path), 1, 60.0) as pool:
        for index in range(3):
            pool.put(Batch(spec, index))
        assert isinstance(pool.get()[1], StepDone)
        assert pool.pending == 3
        while pool.pending:
            pool.get()
        assert pool.waiting == 0
    assert len(Fatal(tmp_path).workers()) == 1


def test_workers_end_when_the_stream_is_left(spec: RunSpec, tmp_path: Path) -> None:
    work = Fatal(tmp_path, bad=0, signal=signal.SIGCONT)  # goes on, and sleeps for a minute
    with Pool(work, 1, 60.0) as pool:
        pool.put(Batch(spec, 0))
        pool.get()
        process = pool._workers[0].process
        begin = time.monotonic()
    assert process.poll() is not None
    assert time.monotonic() - begin < 30


def test_two_workers_give_the_bits_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = [
        *("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--steps", "5", "--samples", "24"),
        *("--batch-size", "8", "--predictor", "reverse_diffusion", "--corrector", "langevin"),
    ]
    assert exit_status(*command, "--out", "one") == 0
    assert exit_status(*command, "--out", "two", "--workers", "2") == 0
    names = sorted(path.relative_to("one") for path in Path("one").glob("samples/*/*.safetensors"))
    assert len(names) == 3
    from safetensors.torch import load_file

    for name in names:
        one, two = load_file(Path("one", name)), load_file(Path("two", name))
        assert one.keys() == two.keys()
        assert all(one[key].numpy().tobytes() == two[key].numpy().tobytes() for key in one)


def test_a_worker_that_announces_more_than_the_memory_is_replaced(spec: RunSpec, tmp_path: Path) -> None:
    """The header of a message of 2^60 bytes, as a damaged stream may have it: nothing of it is read."""
    work = Announcing(tmp_path)
    pairs = Local(workers=2).map(work, iter([Batch(spec, 0)]))
    (outcome,) = [outcome for _, outcome in pairs if not isinstance(outcome, StepDone | Notice)]
    assert isinstance(outcome, BatchResult)
    assert len(work.workers()) == 2


def test_workers_write_batches_where_they_share_the_folder(tmp_path: Path) -> None:
    spec = quick_spec(samples=16)
    store = Store(tmp_path)
    assert Local(workers=2).writes_batches
    assert not Local(workers=1).writes_batches
    for batch, outcome in Local(workers=2).map(
        FolderWork(tmp_path), iter([Batch(spec, index) for index in range(spec.batch_count)])
    ):
        if isinstance(outcome, StepDone):
            continue
        assert isinstance(outcome, BatchResult)
        assert outcome.stored
        assert not outcome.outputs
        stored = store.read_batch(spec.key, batch.index, batch.size)
        assert stored is not None
        assert (stored[1].worker, stored[1].retries) == (outcome.facts.worker, 0)
        assert stored[1].worker in (0, 1)


@pytest.mark.parametrize("value", [None, "4096"])
def test_a_worker_keeps_freed_memory_where_the_user_says_nothing(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, ours = next(iter(MALLOC.items()))
    monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(name, value)
    batches = iter([Batch(quick_spec(), 0)])
    outcomes = [outcome for _, outcome in Local(workers=2).map(Variable(name), batches)]
    assert outcomes == [BatchFailure(value or ours, "")]
