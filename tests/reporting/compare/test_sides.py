"""What a side of a comparison is read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import BenchError
from bench.reporting.compare.sides import read_side, records_side, run_of
from bench.results.store import Store
from tests.support.made_up import (
    METRIC,
    failed_record,
    fill,
    identity,
    metric_record,
    put,
    record,
    suite_plan,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two seeds of two cells, the second failed at one seed."""
    store = Store(tmp_path / "results")
    for made_up in (record(0, 0), record(0, 1), record(1, 0), failed_record(1, 1)):
        put(store, made_up)
    return store


def test_a_folder_has_all_runs(store: Store) -> None:
    side = read_side(str(store.root), store.root)
    assert sorted((run.cell, run.seed, run.status) for run in side.runs) == sorted(
        (record(i).cell, seed, "failed" if (i, seed) == (1, 1) else "finished")
        for i in (0, 1)
        for seed in (0, 1)
    )
    assert side.notes == []


def test_a_fingerprint_is_a_cell_at_all_seeds(store: Store) -> None:
    side = read_side(record(0).fingerprint, store.root)
    assert sorted((run.cell, run.seed) for run in side.runs) == [(record(0).cell, s) for s in (0, 1)]


def test_a_fingerprint_leaves_out_other_devices_and_samples(store: Store) -> None:
    put(store, record(0, 2, identity=identity(2, 0, device="cuda H100")))
    put(store, record(0, 3, samples=50))
    side = read_side(record(0).fingerprint, store.root)
    assert sorted(run.seed for run in side.runs) == [0, 1]


def test_the_newest_of_a_cell_and_seed_counts() -> None:
    old = record(0, fingerprint="a" * 16, created="2025-01-01T00:00:00+00:00")
    side = records_side([record(0), old], "A")
    assert [run.fingerprint for run in side.runs] == [record(0).fingerprint]
    assert side.notes == ["1 older of the same cell and seed ignored; a fingerprint selects one"]


def test_a_record_keeps_what_a_comparison_needs() -> None:
    run = run_of(record(3, 1))
    figure = run.values[METRIC]
    assert (run.cell, run.seed, run.nfe, run.seconds) == (record(3).cell, 1, 13, 0.03)
    assert (figure.value, figure.direction) == (record(3, 1).metrics[METRIC].value, "lower")


def test_cells_csv_of_a_table_has_the_cells_of_the_records(tmp_path: Path) -> None:
    from bench.reporting.suite_tables import make_tables

    store, plan = Store(tmp_path), suite_plan("nfe", seeds=1)
    fill(store, plan, missing=[(0, 0)])
    (table,) = make_tables("nfe", store, to=tmp_path, plots=False)
    assert table.folder is not None
    side = read_side(str(table.folder / "cells.csv"), tmp_path)
    of_suite = read_side("nfe", tmp_path)
    assert [(run.cell, run.seed) for run in side.runs] == [(run.cell, run.seed) for run in of_suite.runs]
    assert side.notes == ["1 of its cells were not run yet"]
    assert of_suite.notes == ["1 of its cells were not run yet: bench run --suite nfe"]
    for own, other in zip(side.runs, of_suite.runs, strict=True):
        value, expected = own.values[METRIC], other.values[METRIC]
        assert (value.direction, value.kind, value.error) == ("lower", "distance", expected.error)
        assert own.shares_noise_with(other)


def test_runs_csv_says_which_values_are_better_and_what_they_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    share = metric_record(value=0.5, direction="higher", value_kind="share")
    put(store, record(metrics={"class_share": share}))
    (run,) = read_side(str(store.write_csv()), tmp_path).runs
    (own,) = read_side(str(tmp_path), tmp_path).runs
    value = run.values["class_share"]
    assert (value.direction, value.kind, value.error) == ("higher", "share", 0.01)
    assert (run.batch_size, run.device, run.precision) == (own.batch_size, own.device, own.precision)
    assert run.shares_noise_with(own)


def test_a_csv_without_cells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("title,samples,seed,status,metric,value\nnet,100,0,finished,fd,1.0\n")
    with pytest.raises(BenchError, match="has no column 'cell': give a runs"):
        read_side(str(path), tmp_path)
