"""Ledger: which records and batches of a run are taken from disk, and how new records are written."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Literal

from bench.engine.executor import Batch, BatchFailure
from bench.engine.measuring import measure_run
from bench.plan.artifacts import fit_cost
from bench.plan.contexts import MetricContexts
from bench.plan.measured import lacking_metrics
from bench.results.batches import BatchSet
from bench.results.provenance import provenance
from bench.results.record import Record
from bench.results.run_spec import IdentifiedRun, RunSpec, UnplannedRun
from bench.results.store import Store

Rerun = Literal["missing", "failed", "all"]
"""Which runs to execute: those without a record; failed ones too; all of them anew."""


class Ledger:
    """The records and batches of the runs of one call, on a store.

    Args:
        store: Results folder.
        contexts: Extractors and references of metrics, by device.
        rerun: Which runs to execute.
        executor: Name of the executor.

    Attributes:
        companions: Fingerprints of the runs that were added for metrics of others.
        new_batches: The batches that this call computed.
    """

    def __init__(self, store: Store, contexts: MetricContexts, rerun: Rerun, executor: str) -> None:
        self.companions: set[str] = set()
        self.new_batches = BatchSet()
        self._store = store
        self._contexts = contexts
        self._rerun: Rerun = rerun
        self._executor = executor

    def rerun_of(self, spec: RunSpec) -> Rerun:
        """``rerun``, or ``all`` for a run whose code is unknown: it is never taken from disk."""
        if not spec.cacheable:
            return "all"
        # what the user did not ask for is made once
        return "failed" if spec.fingerprint in self.companions else self._rerun

    def recorded(self, spec: RunSpec) -> Record | None:
        """The record on disk that makes the run unnecessary, if there is one."""
        rerun = self.rerun_of(spec)
        record = None if rerun == "all" else self._store.read_record(spec.fingerprint)
        if record is None:
            return None
        if record.status == "finished":
            return None if lacking_metrics(spec, record, self._contexts.on(spec.device)) else record
        return record if rerun == "missing" else None

    def has_batch(self, batch: Batch) -> bool:
        """Whether a batch is on disk; with ``all``, whether this call computed it."""
        key, index, size = batch.spec.key, batch.index, batch.size
        if self.rerun_of(batch.spec) == "all" and not self.new_batches.has(key, index, size):
            return False
        return self._store.read_batch(key, index, size) is not None

    def whole_batches(self, spec: RunSpec) -> bytearray:
        """1 for each batch that is on disk and whole, a byte for each."""
        marks = self._store.stored_batches(spec.key, spec.batches())
        index = marks.find(1)
        while index >= 0:
            marks[index] = self.has_batch(Batch(spec, index))
            index = marks.find(1, index + 1)
        return marks

    def write_finished(self, spec: RunSpec) -> Record:
        """Measure a run whose batches are on disk and write its record; its lock must be held.

        Args:
            spec: The run.

        Returns:
            The record. It has the metrics of an earlier record of the same samples too.

        Raises:
            BenchError: A metric has no value.
            StoreError: The record can't be written.
        """
        measurement = measure_run(spec, self._store, self._contexts.on(spec.device))
        header = record_header(spec, spec.task.outputs, "finished", spec.planned_nfe)
        facts = {"declared_order": spec.declared_order, "executor": self._executor}
        record = measurement.added_to(header.model_copy(update=facts))
        previous = self._store.read_record(spec.fingerprint)
        if previous is not None and previous.status == "finished" and self.rerun_of(spec) != "all":
            # metrics taken earlier of the same samples stay
            record = record.model_copy(update={"metrics": previous.metrics | record.metrics})
        self._store.write_record(record)
        return record

    def write_failed(self, spec: RunSpec, failure: BatchFailure) -> Record:
        """The record of a failed run, written unless a finished one is there; its lock must be held."""
        log = self._store.write_log(spec.fingerprint, failure.log)
        update = {"reason": failure.reason, "log": str(log)}
        record = record_header(spec, spec.task.outputs, "failed", spec.planned_nfe).model_copy(update=update)
        previous = self._store.read_record(spec.fingerprint)
        if self.rerun_of(spec) == "all" or previous is None or previous.status != "finished":
            self._store.write_record(record)
        return record

    def write_unplanned(self, run: UnplannedRun) -> Record:
        """The record of a run that could not be planned, written as failed; its lock must be held."""
        log = self._store.write_log(run.fingerprint, run.log)
        update = {"reason": run.reason, "log": str(log)}
        record = record_header(run, run.outputs, "failed", None).model_copy(update=update)
        self._store.write_record(record)
        return record


def record_header(
    run: IdentifiedRun, outputs: Sequence[str], status: Literal["finished", "failed"], planned_nfe: int | None
) -> Record:
    """A record without metrics and cost."""
    return Record(
        fingerprint=run.fingerprint,
        key=run.key,
        title=run.title,
        status=status,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        samples=run.samples,
        outputs=tuple(outputs),
        planned_nfe=planned_nfe,
        identity=run.identity,
        provenance=provenance(),
        data=_source(run),
        fit=fit_cost(run.sampler) if isinstance(run, RunSpec) else None,
    )


def _source(run: IdentifiedRun) -> str:
    """The name of the images that a run works on, as the command gave it."""
    if isinstance(run, RunSpec):
        return "" if run.data is None else run.data.name
    return "" if run.identity.data is None else run.identity.data.name
