"""Ten million batches of one sample: memory and time do not grow with them, but for a byte each."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from bench import Batch, BatchResult, Executor, Outcome
from bench.engine.ledger import Rerun
from bench.engine.loop import Engine
from bench.engine.session import Session
from bench.events import Event, RunStarted
from bench.plan.dry_run import dry_run
from bench.plan.planning import Plan
from bench.plan.settings import Settings
from bench.results.batches import Batches
from bench.results.record import BatchFacts
from bench.results.store import Store
from tests.support.plans import QUICK, contexts, quick_spec
from tests.support.plugins import installed

MANY = 10_000_000
FACTS = BatchFacts(nfe=30, seconds=1.0, network_seconds=0.5, warm_seconds=0.0)


class _StoppedError(BaseException):
    """The executor has seen enough."""


class TakesSome(Executor):
    """Answers the first five batches, then stops."""

    name = "takes-some"
    in_process = True

    def map(
        self, work: Callable[[Batch], Outcome], batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome]]:
        for batch in islice(batches, 5):
            yield batch, BatchResult({"images": torch.zeros(batch.size, 3, 32, 32)}, FACTS)
        raise _StoppedError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with three batches of the run, one of them of another size."""
    spec = quick_spec(samples=MANY, batch_size=1)
    store = Store(tmp_path)
    for index, size in ((7, 1), (MANY - 1, 1), (8, 2)):
        store.write_batch(spec.key, index, size, {"images": torch.zeros(size, 1)}, FACTS)
    return store


def test_a_dry_run(store: Store) -> None:
    spec = quick_spec(samples=MANY, batch_size=1)
    plan = Plan((spec,), Settings.model_validate(QUICK), "quick")
    dry_run(plan, store, contexts(), "failed")  # imports what it needs
    tracemalloc.start()
    begin = time.process_time()
    report = dry_run(plan, store, contexts(), "failed")
    seconds, peak = time.process_time() - begin, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    (entry,) = report.entries
    assert (entry.batches_on_disk, entry.batches) == (2, MANY)
    assert report.evaluations == (MANY - 2) * 30
    assert peak < 4 * MANY
    assert seconds < 5


@pytest.mark.parametrize("rerun", ["failed", "all"])
def test_the_stream(store: Store, rerun: Rerun) -> None:
    spec = quick_spec(samples=MANY, batch_size=1)
    events: list[Event] = []
    engine = Engine(store, TakesSome(), Session(installed()), contexts(), emit=events.append, rerun=rerun)
    tracemalloc.start()
    with pytest.raises(_StoppedError):
        engine.execute([spec])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MANY
    (started,) = (event for event in events if isinstance(event, RunStarted))
    assert (started.cached, started.batches) == (0 if rerun == "all" else 2, MANY)
    marks = store.stored_batches(spec.key, spec.batches())
    assert [index for index in (*range(9), MANY - 1) if marks[index]] == [0, 1, 2, 3, 4, 7, MANY - 1]


def test_batches_are_pruned_by_their_listing(store: Store) -> None:
    spec = quick_spec(samples=MANY, batch_size=1)
    store.prune(spec.key, spec.batches())
    folder = store.batch_path(spec.key, 8, 2).parent
    assert [path.name for path in folder.iterdir()] == ["00008-2.safetensors"]
    store.prune(spec.key, Batches(18, 2))
    assert not folder.exists()


def test_a_write_does_not_list_the_folder(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each write listing all files before it, n batches would take n squared."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the folder is listed")

    for name in ("glob", "iterdir", "rglob"):
        monkeypatch.setattr(Path, name, never)
    monkeypatch.setattr("os.scandir", never)
    monkeypatch.setattr("os.listdir", never)
    path = store.write_batch("key", 0, 1, {"images": torch.zeros(1, 1)}, FACTS)
    monkeypatch.undo()
    assert path.is_file()
