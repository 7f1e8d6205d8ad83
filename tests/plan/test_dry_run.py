"""What executing a plan would do, from records alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.plan.dry_run import DryRun, DryRunEntry, dry_run
from bench.plan.fingerprint import metric_code
from bench.plan.measured import deciding_parameters
from bench.plan.planning import Plan
from bench.plan.settings import Settings
from bench.results.record import BatchFacts, Cost, Record
from bench.results.run_spec import RunSpec, UnplannedRun
from bench.results.store import Store
from tests.support import made_up
from tests.support.plans import QUICK, contexts, quick_spec


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def report(store: Store, *runs: RunSpec | UnplannedRun, rerun: str = "failed", at_once: int = 1) -> DryRun:
    """What a plan of these runs would do."""
    return dry_run(Plan(runs, Settings.model_validate(QUICK), "quick"), store, contexts(), rerun, at_once)


def entry(store: Store, run: RunSpec | UnplannedRun) -> DryRunEntry:
    """What would come of one run."""
    (only,) = report(store, run).entries
    return only


def record_of(spec: RunSpec, **changes: Any) -> Record:
    """A finished record of a run, of its default metric: 1 second per network call of a sample."""
    seconds = float(spec.samples * (spec.planned_nfe or 50))
    cost = Cost(
        nfe=float(spec.planned_nfe or 50),
        seconds=seconds,
        samples_per_second=spec.samples / seconds,
        network_share=1.0,
        warm_seconds=0.0,
    )
    context = contexts().on("cpu")
    metrics = {
        metric.label: made_up.metric_record(
            metric=metric.name,
            parameters=deciding_parameters(metric),
            provenance=metric.provenance(context),
            code=metric_code(metric, context),
        )
        for metric in spec.metrics
    }
    fields: dict[str, Any] = {
        "fingerprint": spec.fingerprint,
        "key": spec.key,
        "title": spec.title,
        "samples": spec.samples,
        "identity": spec.identity,
        "metrics": metrics,
        "cost": cost,
    }
    return made_up.record(**(fields | changes))


def test_a_new_run_is_to_be_run(store: Store) -> None:
    spec = quick_spec()
    whole = report(store, spec)
    (only,) = whole.entries
    assert (only.state, only.nfe, only.adaptive, only.batches_on_disk, only.batches) == (
        "to run",
        30,
        False,
        0,
        2,
    )
    assert (whole.evaluations, whole.seconds, whole.unknown) == (16 * 30, 0.0, 1)


def test_a_recorded_run_is_finished_until_it_lacks_a_metric(store: Store) -> None:
    spec = quick_spec()
    made_up.put(store, record_of(spec))
    assert entry(store, spec).state == "finished"
    assert report(store, spec).evaluations == 0
    assert report(store, spec, rerun="all").evaluations == 16 * 30
    other = quick_spec(metric=["fd_cifar10"])
    assert other.fingerprint == spec.fingerprint
    assert entry(store, other).state == "measure"


def test_batches_on_disk_are_not_computed_again(store: Store) -> None:
    spec = quick_spec()
    facts = BatchFacts(nfe=30, seconds=1.0, network_seconds=0.5, warm_seconds=0.0)
    store.write_batch(spec.key, 0, 8, {"images": torch.zeros(8, 1)}, facts)
    assert entry(store, spec).batches_on_disk == 1
    assert report(store, spec).evaluations == 8 * 30


def test_failed_runs_are_to_be_run_unless_only_missing_ones_are(store: Store) -> None:
    spec = quick_spec()
    made_up.put(store, record_of(spec, status="failed", cost=None, metrics={}, reason="broken"))
    assert entry(store, spec).state == "failed"
    assert report(store, spec).evaluations == 16 * 30
    assert report(store, spec, rerun="missing").evaluations == 0


def test_time_is_that_of_records_of_the_same_sampler_or_else_of_the_checkpoint(store: Store) -> None:
    made_up.put(store, record_of(quick_spec()))
    whole = report(store, quick_spec(seed=1), quick_spec(corrector=["langevin"]))
    assert (whole.evaluations, whole.seconds, whole.unknown) == (1440, 1440.0, 0)
    assert report(store, quick_spec(checkpoint=["gmm-cifar10"])).unknown == 1


def test_workers_share_the_time(store: Store) -> None:
    made_up.put(store, record_of(quick_spec()))
    runs = quick_spec(seed=1), quick_spec(corrector=["langevin"])
    assert report(store, *runs, at_once=4).seconds == report(store, *runs).seconds / 4


def test_a_solvers_calls_are_those_of_records(store: Store) -> None:
    spec = quick_spec(solver=["rk45"])
    assert (entry(store, spec).nfe, entry(store, spec).adaptive) == (None, True)
    made_up.put(store, record_of(quick_spec(solver=["rk45"], seed=1)))
    assert entry(store, spec).nfe == 50


def test_a_stale_record_is_explained(store: Store) -> None:
    spec = quick_spec()
    old = spec.identity.model_copy(update={"code": "0" * 16, "torch": "1.0"})
    made_up.put(store, record_of(spec, identity=old, fingerprint="0" * 16))
    explanation = entry(store, spec).stale
    assert explanation.startswith("the core has changed since; torch was 1.0, not ")
    assert entry(store, quick_spec(seed=1)).stale == ""


def test_a_run_that_cannot_be_planned_costs_nothing(store: Store) -> None:
    spec = quick_spec()
    unplanned = UnplannedRun(
        identity=spec.identity, samples=16, title="broken", outputs=("images",), reason="r", log="l"
    )
    whole = report(store, unplanned)
    assert (whole.entries[0].state, whole.evaluations, whole.unknown) == ("to run", 0.0, 0)


def test_a_run_that_is_never_taken_from_disk_is_to_be_run(store: Store) -> None:
    spec = dataclasses.replace(quick_spec(), cacheable=False)
    made_up.put(store, record_of(spec))
    assert entry(store, spec).state == "to run"
    assert report(store, spec).evaluations == 16 * 30
