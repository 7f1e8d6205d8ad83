"""Runs a plan: hands its batches to an executor, then measures and records every cell."""

from __future__ import annotations

import datetime
import functools
import time
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from bench.diffusion.roles import PartError
from bench.engine.batch import sample
from bench.engine.executor import Executor, Job
from bench.engine.listener import Listener
from bench.engine.measuring import _measure, metric_facts
from bench.errors import BenchError, NotFiniteError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.metrics.context import MetricContext
    from bench.results.run_spec import RunSpec
    from bench.results.store import Store


Rerun = Literal["missing", "failed", "all"]
"""Which cells to run: those never run; those and the failed ones; all of them anew."""

CSV_EVERY = 20.0
"""Seconds between updates of runs.csv while a plan runs; it is made anew at the end too."""


def run_plan(
    cells: Sequence[RunSpec],
    store: Store,
    executor: Executor,
    listener: Listener,
    context: MetricContext,
    rerun: Rerun = "failed",
    *,
    prune: bool = False,
) -> list[dict[str, Any]]:
    """Run every cell that ``rerun`` asks for; a failing cell is recorded as failed, the others go on.

    Several processes may run on one store: a batch that another is at work on is passed over, and its
    cell is come back to. ``prune`` removes a cell's samples once it is recorded.
    """
    records: dict[int, dict[str, Any]] = {}
    fresh: set[Path] = set()
    pending = list(enumerate(cells))
    written = time.monotonic()
    try:
        while pending:
            left = []
            for place, cell in pending:
                record, busy = _advance(cell, store, executor, listener, context, rerun, fresh)
                if record is None:
                    left.append((place, cell, busy))
                    continue
                records[place] = record
                if prune and record["status"] == "finished":
                    store.prune(cell.key, cell.batches)
                if time.monotonic() - written > CSV_EVERY:
                    store.write_csv()
                    written = time.monotonic()
            if len(left) == len(pending):
                _, cell, busy = left[0]
                with store.locked(busy, functools.partial(listener.waiting, cell)):
                    pass
            pending = [(place, cell) for place, cell, _ in left]
    finally:
        store.write_csv()
    return [records[place] for place in range(len(cells))]


def _advance(
    cell: RunSpec,
    store: Store,
    executor: Executor,
    listener: Listener,
    context: MetricContext,
    rerun: Rerun,
    fresh: set[Path],
) -> tuple[dict[str, Any] | None, str]:
    """Do of a cell what no other process is doing: its record, or None and the lock that is in the way.

    ``fresh`` collects the batches made by this run: with ``all``, no other will do.
    """

    def recorded() -> dict[str, Any] | None:
        found = store.read_record(cell.fingerprint)
        if found is None or rerun == "all":
            return None
        if found["status"] == "finished":
            return None if missing_metrics(cell, found, context) else found
        return found if rerun == "missing" else None

    found = recorded()
    if found is not None:
        listener.cell_done(cell, found, cached=True)
        return found, ""
    jobs = [Job(cell, index, size) for index, size in cell.batches]

    def there(job: Job) -> bool:
        if rerun == "all" and store.batch_path(cell.key, job.index, job.size) not in fresh:
            return False
        return store.read_batch(cell.key, job.index, job.size) is not None

    todo = [job for job in jobs if not there(job)]
    listener.cell_started(cell, len(jobs) - len(todo), len(jobs))
    busy: dict[str, Job] = {}

    def work(job: Job) -> None:
        name = f"{cell.key}-{job.index:05d}-{job.size}"
        with store.tried(name) as ours:
            if not ours:
                busy[name] = job
                return
            if not there(job) and recorded() is None:
                left, facts = sample(job, functools.partial(listener.step, job.index))
                fresh.add(store.write_batch(cell.key, job.index, job.size, left, facts))
        listener.batch_done(job.index)

    try:
        executor.run(todo, work)
    except StoreError:
        raise
    except Exception as error:
        with store.locked(cell.fingerprint, functools.partial(listener.waiting, cell)):
            return _failed(cell, store, listener, error, rerun), ""
    # what another process was at may be done by now
    still = [name for name, job in busy.items() if not there(job)]
    if still:
        return None, still[0]
    with store.locked(cell.fingerprint, functools.partial(listener.waiting, cell)):
        found = recorded()
        if found is not None:  # by another process, meanwhile
            listener.cell_done(cell, found, cached=True)
            return found, ""
        try:
            record = _header(cell) | _measure(cell, store, context)
        except StoreError:
            raise
        except Exception as error:
            return _failed(cell, store, listener, error, rerun), ""
        before = store.read_record(cell.fingerprint)
        if before is not None and before["status"] == "finished" and rerun != "all":
            # metrics taken before on the same samples stay
            record["metrics"] = before["metrics"] | record["metrics"]
        store.write_record(record)
    listener.cell_done(cell, record, cached=False)
    return record, ""


def _failed(
    cell: RunSpec, store: Store, listener: Listener, error: Exception, rerun: Rerun
) -> dict[str, Any]:
    """The record of a failed cell. A finished one stays on disk: what failed is one metric more."""
    said = " ".join(f"{error}".split())
    plain = isinstance(error, BenchError | NotFiniteError)
    origin = _origin(cell, error)
    log = store.write_log(cell.fingerprint, "".join(traceback.format_exception(error)))
    record = _header(cell) | {
        "status": "failed",
        "reason": (said if plain else f"{type(error).__name__}: {said}") + origin,
        "log": str(log),
    }
    before = store.read_record(cell.fingerprint)
    if rerun == "all" or before is None or before["status"] != "finished":
        store.write_record(record)
    listener.cell_done(cell, record, cached=False)
    return record


def _origin(cell: RunSpec, error: Exception) -> str:
    """Whose code it was that failed, where it was that of one of the cell's plugins: the innermost."""
    parts = {id(cell.plugin(role)): entry for role, entry in cell.entries.items() if role != "sde"}
    frames = (frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__))
    at_fault = [error.part] if isinstance(error, PartError) else [one for one in frames if id(one) in parts]
    if not at_fault or id(at_fault[-1]) not in parts:
        return ""
    entry = parts[id(at_fault[-1])]
    return f" ({entry.kind[:-1]} {entry.name} of {entry.distribution} {entry.version})"


def _header(cell: RunSpec) -> dict[str, Any]:
    from bench.results.provenance import provenance

    return {
        "fingerprint": cell.fingerprint,
        "key": cell.key,
        "title": cell.title,
        "status": "finished",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "samples": cell.samples,
        "outputs": list(cell.task.outputs),
        "planned_nfe": cell.planned_nfe,
        "identity": cell.identity,
        "provenance": provenance(),
    }


def missing_metrics(cell: RunSpec, record: dict[str, Any], context: MetricContext) -> list[str]:
    """Metrics of the cell that its record lacks, or has from other parameters or reference data."""
    return [
        m.label
        for m in cell.metrics
        if record["metrics"].get(m.label, {}).get("with") != metric_facts(m, context)
    ]
