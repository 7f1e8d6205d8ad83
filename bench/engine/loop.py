"""Engine: executes runs as one stream of batches, then computes each run's metrics and writes its record."""

from __future__ import annotations

import dataclasses
import functools
import time
import traceback
from collections.abc import Callable, Iterator, Sequence

from bench.engine.batch import FolderWork, attempt_batch, attempt_batch_elsewhere, failure_of
from bench.engine.executor import Batch, BatchFailure, BatchResult, Executor, Outcome, Work
from bench.engine.ledger import Ledger, Rerun
from bench.engine.order import in_order
from bench.engine.session import Session
from bench.errors import BenchError, StoreError
from bench.events import (
    BatchDone,
    Emit,
    Notice,
    RunDone,
    RunMeasuring,
    RunStarted,
    RunWaiting,
    StepDone,
    silent,
)
from bench.plan.contexts import MetricContexts
from bench.plan.fingerprint import metric_code
from bench.plan.forecast import Forecast
from bench.results.record import Record
from bench.results.run_spec import (
    RunSpec,
    UnplannedRun,
    companion_fingerprints,
    companion_runs,
)
from bench.results.store import Lock, Store

APPEARANCE = 10.0
"""Seconds that a file of another machine may take to be seen here."""

CSV_INTERVAL = 20.0
"""Seconds between updates of runs.csv during a plan; it is also written at the end."""


@dataclasses.dataclass
class _Progress:
    """State of one run within `execute`."""

    spec: RunSpec
    place: int
    waiting: set[int] = dataclasses.field(default_factory=set)
    """Batches handed to the executor, without an outcome yet."""
    busy: list[Batch] = dataclasses.field(default_factory=list)
    """Batches that another process works on."""
    handed_out: bool = False
    """Whether the stream has gone through all batches of the run."""
    failed: bool = False
    needed: bool = False
    """Whether the metrics of a run without a record read its samples."""


class Engine:
    """Executes runs on a store.

    Several processes may execute runs on one store. A batch that another process works on is skipped; the
    process that completes the run's last batch records it.

    Args:
        store: Results folder.
        executor: Runs the batches.
        session: Loaded models, used where the executor works in this process.
        contexts: Extractors and references of metrics, by device.
        emit: Receives all events.
        on_record: Receives the record of every run, from disk or new; of companions alone, none.
        rerun: Which runs to execute.
        prune: Whether to remove a run's samples once it is recorded; those of companions stay, since metrics
            of later commands read them too.
        forecast: The expected time of the runs, for an executor of several workers: the longest come first.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        session: Session,
        contexts: MetricContexts,
        *,
        emit: Emit = silent,
        on_record: Callable[[Record], None] | None = None,
        rerun: Rerun = "failed",
        prune: bool = False,
        forecast: Forecast | None = None,
    ) -> None:
        self.store = store
        self.executor = executor
        self.session = session
        self.contexts = contexts
        self.emit = emit
        self.on_record = on_record
        self.ledger = Ledger(store, contexts, rerun, executor.name)
        self.prune = prune
        self.forecast = forecast
        self.records: dict[int, Record] = {}
        self._first_place = 0
        self._read: set[str] = set()
        self._progress: dict[str, _Progress] = {}
        self._sampled: set[str] = set()
        self._failures: dict[str, str] = {}
        self._waiting_for: dict[str, list[_Progress]] = {}
        self._locks: dict[str, Lock] = {}
        self._csv_written = time.monotonic()

    def execute(self, runs: Sequence[RunSpec | UnplannedRun]) -> list[Record]:
        """Execute the runs that ``rerun`` selects; a failing run is recorded as failed, and others continue.

        Their companions are executed first.

        Returns:
            The records, in the order of the runs.

        Raises:
            BenchError: A run exists in this process alone and the executor works in others.
            StoreError: The results folder can't be written.
        """
        companions = companion_runs(runs)
        self.ledger.companions = {spec.fingerprint for spec in companions}
        self._first_place = len(companions)
        self._read = companion_fingerprints(runs)
        everything = [*companions, *runs]
        self._check_executor(everything)
        places: dict[str, list[int]] = {}
        pending = []
        for place, run in enumerate(everything):
            places.setdefault(run.fingerprint, []).append(place)
            if len(places[run.fingerprint]) > 1:
                continue  # the same run at two places of a table
            if isinstance(run, UnplannedRun):
                with self.store.locked(run.fingerprint):
                    record = self.ledger.write_unplanned(run)
                self._finish(place, record)
            else:
                pending.append(_Progress(run, place))
        needed = self._needed_companions(pending)
        for progress in pending:
            progress.needed = progress.spec.fingerprint in needed
        specs = in_order([progress.spec for progress in pending], needed, self.forecast)
        by_fingerprint = {progress.spec.fingerprint: progress for progress in pending}
        pending = [by_fingerprint[spec.fingerprint] for spec in specs]
        self._progress = {progress.spec.fingerprint: progress for progress in pending}
        try:
            while pending:
                progressed = self._round(pending)
                pending = [run for run in self._progress.values() if run.place not in self.records]
                busy = next((run for run in pending if run.busy), None)
                if busy is not None and not progressed:
                    self._wait(busy)
        finally:
            for lock in self._locks.values():
                lock.release()
            self._locks.clear()
            self.store.write_csv()
        for first, *repeats in places.values():
            for place in repeats:
                self._finish(place, self.records[first], cached=True)
        return [self.records[len(companions) + place] for place in range(len(runs))]

    def _needed_companions(self, pending: Sequence[_Progress]) -> set[str]:
        """Fingerprints of the runs whose samples the metrics of runs without a record read."""
        needed: set[str] = set()
        for run in pending:
            if run.spec.companions:
                try:
                    recorded = self.ledger.recorded(run.spec) is not None
                except StoreError:
                    raise
                except Exception:  # a metric's own, which the run reports
                    recorded = False
                if not recorded:
                    needed |= companion_fingerprints([run.spec])
        return needed

    def _check_executor(self, runs: Sequence[RunSpec | UnplannedRun]) -> None:
        for run in runs:
            if not isinstance(run, RunSpec):
                continue
            if run.in_memory and not self.executor.in_process:
                raise BenchError(
                    f"the executor {self.executor.name} works in other processes, and {run.title} uses a "
                    "plugin or network of this process alone: use the executor local"
                )
            if not run.cacheable:
                reason = run.card.uncacheable_reason or "the source of a plugin is not available"
                self.emit(Notice(f"{run.label}: {reason}, so the run is made anew"))
            for metric in run.metrics:
                if not metric_code(metric, self.contexts.on(run.device)):
                    text = f"the source of {metric.name} is not available, so it is computed anew"
                    self.emit(Notice(f"{run.label}: {text}"))

    def _round(self, pending: list[_Progress]) -> bool:
        """Process the pending runs once; returns whether anything was recorded or computed."""
        before = len(self.records), len(self.ledger.new_batches)
        by_key = {run.spec.fingerprint: run for run in pending}
        work: Work = self._attempt if self.executor.in_process else attempt_batch_elsewhere
        if self.executor.writes_batches:
            work = FolderWork(self.store.root.absolute())
        name, error = self.executor.name, ""
        log = ""
        try:
            for batch, outcome in self.executor.map(work, self._stream(pending)):
                if isinstance(outcome, StepDone | Notice):
                    self.emit(outcome)
                else:
                    self._take(by_key[batch.spec.fingerprint], batch, outcome)
        except (BenchError, OSError):
            raise
        except Exception as exception:
            error = f"{type(exception).__name__}: {' '.join(str(exception).split())} (executor {name})"
            log = "".join(traceback.format_exception(exception))
        progressed = (len(self.records), len(self.ledger.new_batches)) != before
        lost = any(run.waiting for run in pending)
        for run in pending:
            # an executor that takes no batch at all would be called for ever; after one that lost batches,
            # the other runs are tried again
            ignored = not (progressed or lost or run.handed_out or run.busy)
            if run.place not in self.records and (run.waiting or ignored):
                verb = f"lost {len(run.waiting)} batches" if run.waiting else "took no batch"
                reason = error or f"the executor {name} {verb}"
                self._fail(run, BatchFailure(reason, log or reason))
        return (len(self.records), len(self.ledger.new_batches)) != before

    def _attempt(self, batch: Batch, emit: Emit | None = None, /) -> Outcome:
        """Compute a batch in this process."""
        return attempt_batch(batch, emit=emit or self.emit, session=self.session)

    def _stream(self, pending: list[_Progress]) -> Iterator[Batch]:
        """Batches of all pending runs that no other process works on, each locked when it is taken."""
        for run in pending:
            run.waiting.clear()
            run.busy.clear()
            run.handed_out = False
            try:
                record = self.ledger.recorded(run.spec)
            except StoreError:
                raise
            except Exception as error:  # a metric's own
                self._fail(run, failure_of(error, run.spec))
                continue
            spec = run.spec
            if record is not None and not run.needed:
                self._finish_and_prune(run, record, cached=True)
                continue
            whole = self.ledger.whole_batches(spec)
            done = whole.count(1)
            if done == spec.batch_count:
                self._sampled.add(spec.fingerprint)
            if record is not None and (done == spec.batch_count or record.status != "finished"):
                self._finish_and_prune(run, record, cached=True)
                continue
            self.emit(RunStarted(spec.fingerprint, spec.label, done, spec.batch_count, spec.compile))
            for index in range(spec.batch_count):
                if run.failed:
                    break
                if whole[index]:
                    continue
                batch = Batch(spec, index)
                lock = self.store.try_lock(batch.name)
                if lock is None:
                    run.busy.append(batch)
                    continue
                try:
                    done_elsewhere = self.ledger.has_batch(batch)
                    done_elsewhere |= not run.needed and self.ledger.recorded(run.spec) is not None
                except BaseException:
                    lock.release()
                    raise
                if done_elsewhere:
                    lock.release()
                    self.emit(BatchDone(spec.fingerprint, index))
                    continue
                self._locks[batch.name] = lock
                run.waiting.add(index)
                yield batch
            run.handed_out = True
            self._finish_if_complete(run)

    def _take(self, run: _Progress, batch: Batch, outcome: BatchResult | BatchFailure) -> None:
        """Store the outcome of a batch; finish its run if it was the last one."""
        run.waiting.discard(batch.index)
        try:
            if isinstance(outcome, BatchResult) and not run.failed:
                key, index, size = batch.spec.key, batch.index, batch.size
                if not outcome.stored:
                    self.store.write_batch(key, index, size, outcome.outputs, outcome.facts)
                elif not self.store.has_batch(key, index, size, APPEARANCE):
                    raise BenchError(
                        f"its worker wrote it into another folder of the name {self.store.root.absolute()}: "
                        "the machines do not share it, so leave executor.shared out"
                    )
                self.ledger.new_batches.add(key, index, size, batch.spec.batch_size)
                self.emit(BatchDone(batch.spec.fingerprint, batch.index))
        except StoreError:
            raise
        except Exception as error:  # tensors that no file can hold
            outcome = failure_of(error, batch.spec)
        finally:
            lock = self._locks.pop(batch.name, None)
            if lock is not None:
                lock.release()
        if isinstance(outcome, BatchFailure) and not run.failed:
            self._fail(run, outcome)
        self._finish_if_complete(run)

    def _finish_if_complete(self, run: _Progress) -> None:
        """Measure and record a run all of whose batches are on disk."""
        if run.place in self.records or run.waiting or run.failed or not run.handed_out:
            return
        spec = run.spec
        # another process may have completed its batches by now
        run.busy = [batch for batch in run.busy if not self.ledger.has_batch(batch)]
        if run.busy:
            return
        self._sampled.add(spec.fingerprint)
        self._resume_waiting(spec.fingerprint)
        if self._waits(run):
            return
        try:
            with self.store.locked(spec.fingerprint, functools.partial(self._emit_waiting, spec)):
                record = self.ledger.recorded(spec)
                cached = record is not None  # by another process, meanwhile
                if record is None:
                    self.emit(RunMeasuring(spec.fingerprint, spec.label))
                    record = self.ledger.write_finished(spec)
        except StoreError:
            raise
        except Exception as error:
            self._fail(run, failure_of(error, spec))
            return
        self._finish_and_prune(run, record, cached=cached)

    def _waits(self, run: _Progress) -> bool:
        """Whether samples that the run's metrics read are still to be made; the run is then finished later.

        A run whose companion failed fails too.
        """
        for one in run.spec.companions:
            fingerprint = one.spec.fingerprint
            if fingerprint in self._sampled and not self._vanished(one.spec):
                continue
            if fingerprint in self._failures:
                reason = f"{one.metric} reads {one.spec.label}, which failed: {self._failures[fingerprint]}"
                self._fail(run, BatchFailure(reason, reason))
            else:
                self._waiting_for.setdefault(fingerprint, []).append(run)
            return True
        return False

    def _vanished(self, spec: RunSpec) -> bool:
        """Whether another process has pruned samples that were made; they are then made again."""
        if 0 not in self.store.stored_batches(spec.key, spec.batches()):
            return False
        self._sampled.discard(spec.fingerprint)
        progress = self._progress[spec.fingerprint]
        progress.needed = True
        self.records.pop(progress.place, None)
        return True

    def _resume_waiting(self, fingerprint: str) -> None:
        """Finish the runs that waited for a run's samples."""
        for run in self._waiting_for.pop(fingerprint, []):
            self._finish_if_complete(run)

    def _finish_and_prune(self, run: _Progress, record: Record, *, cached: bool) -> None:
        """Finish a run whose record is on disk."""
        self._finish(run.place, record, cached=cached)
        if self.prune and record.status == "finished" and record.fingerprint not in self._read:
            self.store.prune(run.spec.key, run.spec.batches())

    def _fail(self, run: _Progress, failure: BatchFailure) -> None:
        """Record a run as failed. A finished record stays on disk: only an additional metric failed."""
        run.failed = True
        spec = run.spec
        with self.store.locked(spec.fingerprint, functools.partial(self._emit_waiting, spec)):
            record = self.ledger.write_failed(spec, failure)
        self._finish(run.place, record)

    def _finish(self, place: int, record: Record, *, cached: bool = False) -> None:
        """Keep the record of a run and report it."""
        self.records[place] = record
        self.emit(
            RunDone(
                record.fingerprint,
                record.label,
                record.status,
                cached,
                {label: result.value for label, result in record.metrics.items()},
                None if record.cost is None else record.cost.nfe,
                record.reason,
                None if record.cost is None else record.cost.seconds,
            )
        )
        if self.on_record is not None and place >= self._first_place:
            self.on_record(record)
        if time.monotonic() - self._csv_written > CSV_INTERVAL:
            self.store.write_csv()
            self._csv_written = time.monotonic()
        if record.status == "finished":
            self._sampled.add(record.fingerprint)
        else:
            self._failures[record.fingerprint] = record.reason
        self._resume_waiting(record.fingerprint)

    def _wait(self, run: _Progress) -> None:
        """Wait until another process completes the first batch that it holds."""
        with self.store.locked(run.busy[0].name, functools.partial(self._emit_waiting, run.spec)):
            pass

    def _emit_waiting(self, spec: RunSpec) -> None:
        self.emit(RunWaiting(spec.fingerprint, spec.label))
