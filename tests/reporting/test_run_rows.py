"""Rows of planned runs: values of other parameters, reference data or counts stand in no column."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.reporting.matching import Matcher
from bench.reporting.run_rows import misfits, run_rows
from bench.results.manifest import SuitePlan
from bench.results.record import MetricRecord, Record
from bench.results.store import Store
from tests.support.made_up import METRIC, fill, indices, metric_record, put, record, suite_plan

Bench = Callable[..., str]
OLD, NEW = "0" * 64, "1" * 64


def rests_on(reference: str = OLD, **parameters: Any) -> dict[str, Any]:
    """A value's parameters and data."""
    return {"parameters": {"mode": "clean"} | parameters, "provenance": {"cifar10-train": reference}}


def records(*values: MetricRecord | None) -> list[Record]:
    """Finished records that hold these values of the metric."""
    return [record(metrics={} if value is None else {METRIC: value}) for value in values]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs a command in an empty folder and returns what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        return out + err

    return call


def test_the_majority_decides_and_of_ties_the_first() -> None:
    old, new = metric_record(**rests_on(OLD)), metric_record(**rests_on(NEW))
    assert misfits(records(old, new, new), METRIC, 100) == {
        0: "other data (cifar10-train 00000000…, not 11111111…)"
    }
    assert set(misfits(records(None, old, new, old), METRIC, 100)) == {2}
    assert set(misfits(records(new, old), METRIC, 100)) == {1}
    assert misfits(records(new, None, new), METRIC, 100) == {}
    assert misfits([None], METRIC, 100) == {}


def test_values_of_another_count_have_no_say_in_what_the_others_are_of() -> None:
    right, few = metric_record(**rests_on()), metric_record(**rests_on(NEW), n=64)
    assert misfits(records(few, few, right), METRIC, 100) == {0: "n 64, not 100", 1: "n 64, not 100"}


def test_a_run_without_a_record_or_metric_is_missing() -> None:
    plan = suite_plan("nfe", seeds=1)
    records: list[Record | None] = [None] * len(plan.cells)
    records[0], records[1] = record(0), record(1, metrics={})
    rows = run_rows(plan, records, Matcher(()))
    assert [row.status for row in rows[:3]] == ["finished", "missing", "missing"]
    assert [row.fingerprint for row in rows] == [run.fingerprint for run in plan.cells]
    assert (rows[0].cell, rows[2].cell) == (record(0).cell, "")
    assert rows[0].place == plan.cells[0].place


def odd_table(**changes: Any) -> SuitePlan:
    """Records of table1 in ``results``; the values of the third and fourth cell of the first seed differ."""
    store, plan = Store(Path("results")), suite_plan("table1")
    if not (store.root / "suites").exists():
        fill(store, plan)
    for place, (index, run) in enumerate(zip(indices(plan), plan.cells, strict=True)):
        value = metric_record(index, run.seed, **(rests_on() | (changes if place in (2, 3) else {})))
        put(store, record(index, run.seed, title=run.title, metrics={METRIC: value}))
    return plan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (rests_on(NEW), "of other data (cifar10-train 11111111…, not 00000000…), left out here"),
        (rests_on(mode="legacy"), "of other parameters (mode legacy, not clean), left out here"),
        ({"n": 64}, "of n 64, not 100, left out here"),
    ],
)
def test_misfits_are_left_out_of_the_table(bench: Bench, changes: dict[str, Any], message: str) -> None:
    plan = odd_table(value=8.765, **changes)
    out = bench("table", "table1", "--no-plots", status=1)
    command = "bench measure --suite table1 --metric fd_dct computes it anew."
    assert f"2 cells hold fd_dct {message}: {command}" in out
    assert "failed:" not in out
    with Path("results/table1/made-up/cells.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["fingerprint"] for row in rows if row["status"] == "missing"] == [
        run.fingerprint for run in plan.cells[2:4]
    ]
    for row in rows:
        assert (row["value"] == "") == (row["reason"] != "") == (row["status"] == "missing")
    for path in Path("results/table1/made-up").iterdir():
        assert "8.765" not in path.read_text()  # their value is nowhere
    markdown = Path("results/table1/made-up/fd_dct.md").read_text()
    assert f"2 cells hold fd_dct {message.partition(',')[0]}" in markdown


def test_values_of_equal_basis_make_the_same_table(bench: Bench) -> None:
    fill(Store(Path("results")), suite_plan("table1"))
    before = bench("table", "table1", "--no-plots")
    odd_table()
    assert bench("table", "table1", "--no-plots") == before


def test_the_hint_names_the_metrics_plugin(bench: Bench) -> None:
    """A label of other parameters is computed by the plugin's name, with its parameters."""
    store, plan = Store(Path("results")), suite_plan("table1", seeds=1)
    plan = plan.model_copy(update={"metrics": ("fd_dct_limit-9",)})
    store.write_suite(plan)
    for index, run in enumerate(plan.cells):
        value = metric_record(index, n=64 if index == 2 else 100)
        put(store, record(index, fingerprint=run.fingerprint, metrics={"fd_dct_limit-9": value}))
    out = bench("table", "table1", "--no-plots", status=1)
    assert "1 cell holds fd_dct_limit-9 of n 64, not 100" in out
    assert "bench measure --suite table1 --metric fd_dct, with its parameters, computes it anew" in out
