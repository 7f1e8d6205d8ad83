"""What is taken from disk, and what is written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench.engine.batch import attempt_batch
from bench.engine.executor import Batch, BatchFailure
from bench.engine.ledger import Ledger, Rerun
from bench.engine.session import Session
from bench.results.run_spec import RunSpec
from bench.results.store import Store
from tests.support.plans import contexts, quick_spec
from tests.support.plugins import installed


@pytest.fixture
def spec() -> RunSpec:
    return quick_spec()


def ledger_of(root: Path, rerun: Rerun = "failed") -> Ledger:
    return Ledger(Store(root), contexts(), rerun, "local")


def compute(spec: RunSpec, root: Path) -> None:
    """Write the batches of a run."""
    for index in range(spec.batch_count):
        batch = Batch(spec, index)
        outcome = attempt_batch(batch, session=Session(installed()))
        assert not isinstance(outcome, BatchFailure)
        Store(root).write_batch(spec.key, index, batch.size, outcome.outputs, outcome.facts)


def test_a_run_is_recorded_once_and_taken_unless_all_are_made_anew(spec: RunSpec, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    assert ledger.recorded(spec) is None
    compute(spec, tmp_path)
    assert list(ledger.whole_batches(spec)) == [1] * spec.batch_count
    record = ledger.write_finished(spec)
    assert (record.status, record.executor) == ("finished", "local")
    assert ledger.recorded(spec) == record
    anew = ledger_of(tmp_path, "all")
    assert anew.recorded(spec) is None
    assert list(anew.whole_batches(spec)) == [0] * spec.batch_count
    anew.new_batches.add(spec.key, 0, Batch(spec, 0).size, spec.batch_size)
    assert anew.has_batch(Batch(spec, 0))


def test_a_failed_run_is_tried_again_unless_only_missing_ones_are(spec: RunSpec, tmp_path: Path) -> None:
    record = ledger_of(tmp_path).write_failed(spec, BatchFailure("it broke", "a traceback"))
    assert (record.status, record.reason) == ("failed", "it broke")
    assert Path(record.log).read_text() == "a traceback"
    assert ledger_of(tmp_path, "missing").recorded(spec) == record
    assert ledger_of(tmp_path, "failed").recorded(spec) is None
    companion = ledger_of(tmp_path, "missing")
    companion.companions = {spec.fingerprint}
    assert companion.recorded(spec) is None


def test_a_failure_leaves_a_finished_record(spec: RunSpec, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    compute(spec, tmp_path)
    record = ledger.write_finished(spec)
    assert ledger.write_failed(spec, BatchFailure("a metric broke", "")).status == "failed"
    assert ledger.recorded(spec) == record


def test_a_run_of_unknown_code_is_never_taken(spec: RunSpec, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    compute(spec, tmp_path)
    ledger.write_finished(spec)
    assert ledger.recorded(dataclasses.replace(spec, cacheable=False)) is None
