"""The data of a page are the numbers of `bench table`, cell by cell and run by run."""

from __future__ import annotations

import csv
import io
import shlex
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.reporting.page.data import page_data
from bench.reporting.page.sources import PageSource, page_runs
from bench.reporting.ranking import pareto_front
from bench.reporting.reproduction import commands
from bench.reporting.suite_tables import write_table
from bench.results.store import Store
from tests.support.made_up import (
    METRIC,
    cell,
    figure,
    fill,
    metric_record,
    put,
    record,
    sampled,
    suite_plan,
    table,
)
from tests.support.made_up_pages import page_data_of, rows_of, suite_page
from tests.support.plugins import installed


@pytest.mark.parametrize("suite", ["table1", "nfe"])
def test_the_cells_are_those_of_the_table(tmp_path: Path, suite: str) -> None:
    _, text = suite_page(tmp_path, suite, failed=[(3, 0), (3, 1)], missing=[(5, 0), (7, 1)], pictures=False)
    (data,) = page_data_of(text)["tables"]
    (own_table,) = bench.table(suite, out=tmp_path / "results")
    rows = rows_of(data["cells"])
    assert len(rows) == len(own_table.cells)
    for row, one in zip(rows, own_table.cells, strict=True):
        for name in ("sde", "row", "column", "status", "reason"):
            assert row[name] == getattr(one, name)
        for name in (
            "value",
            "std",
            "minimum",
            "error",
            "exact",
            "limit",
            "nfe",
            "pace",
            "seconds_per_sample",
        ):
            value = getattr(one, name)
            assert row.get(name) == (None if value is None else float(f"{value:.10g}")), name
    assert data["columns"] == list(own_table.columns)


def test_the_page_has_the_digits_of_the_csv(tmp_path: Path) -> None:
    _, text = suite_page(tmp_path, "table1", pictures=False)
    (data,) = page_data_of(text)["tables"]
    (own_table,) = bench.table("table1", out=tmp_path / "results")
    written = write_table(own_table, tmp_path / "tables", plots=False)
    assert written.folder is not None
    lines = {
        (line["sde"], line["row"]): line
        for line in csv.DictReader(io.StringIO((written.folder / f"{METRIC}.csv").read_text()))
    }
    rows = rows_of(data["cells"])
    assert rows
    for row in rows:
        line = lines[row["sde"], row["row"]]
        assert float(line[row["column"]]) == row["value"]
        assert float(line[f"{row['column']} std"]) == row["std"]
        assert float(line[f"{row['column']} exact"]) == row["exact"]


def test_the_front_is_that_of_the_plots(tmp_path: Path) -> None:
    _, text = suite_page(tmp_path, "nfe", pictures=False)
    (data,) = page_data_of(text)["tables"]
    (own_table,) = bench.table("nfe", out=tmp_path / "results")
    rows = rows_of(data["cells"])
    for cost in ("nfe", "seconds_per_sample"):
        front = pareto_front(own_table.cells, cost, lower=True)
        assert [bool(row[f"front_{cost}"]) for row in rows] == front
        assert any(front)


def test_a_run_has_its_values_facts_and_command(tmp_path: Path) -> None:
    _, text = suite_page(tmp_path, "table1", pictures=False)
    runs = page_data_of(text)["runs"]
    store = Store(tmp_path / "results")
    rows = rows_of(runs)
    assert len(rows) == len(store.records())
    for number, row in enumerate(rows):
        own = store.read_record(row["fingerprint"])
        assert own is not None
        assert (row["seed"], row["status"], row["title"]) == (own.seed, own.status, own.title)
        value = own.metrics[METRIC]
        assert runs["metrics"][number][0][:6] == [
            METRIC,
            value.value,
            value.error,
            value.exact,
            value.limit,
            value.n,
        ]
        facts = [tuple(runs["facts"]["d"][i]) for i in runs["facts"]["i"][number]]
        assert ("settings", "sde", own.identity.sde.name) in facts
        assert ("versions", "commit", "c0ffee") in facts
        assert ("device", "processor", "Made-Up 9000") in facts
        (expected,) = commands(own, installed(), Path("results"))
        words = " ".join(runs["commands"]["d"][i] for i in runs["commands"]["i"][number])
        assert shlex.split(words) == expected


def _data(root: Path, **changes: Any) -> dict[str, Any]:
    """The table of a page whose first cell has another value."""
    store, plan = Store(root), suite_plan("table1")
    fill(store, plan, runs=sampled(plan))
    first = store.read_record(plan.cells[0].fingerprint)
    assert first is not None
    put(store, first.model_copy(update={"metrics": {METRIC: metric_record(**changes)}}))
    source = PageSource(tuple(bench.table("table1", out=root)), store)
    plain: Any = page_data([source], page_runs([source], installed(), pictures=False))
    data: dict[str, Any] = plain["tables"][0]
    return data


def test_an_axis_is_logarithmic_where_values_and_bands_are_positive(tmp_path: Path) -> None:
    assert _data(tmp_path / "a")["positive"]
    assert not _data(tmp_path / "b", value=-0.5)["positive"]
    # a mean above zero whose band reaches below
    assert not _data(tmp_path / "c", value=1000.0)["positive"]


def test_a_record_without_a_table_is_a_run(tmp_path: Path) -> None:
    source = PageSource((), Store(tmp_path), (record(),))
    plain: Any = page_data([source], page_runs([source], installed()))
    assert plain["tables"] == []
    assert plain["runs"]["n"] == 1


def test_published_figures_stand_with_their_sources(tmp_path: Path) -> None:
    figures = (figure(), figure(value=3.25, source="another paper", year=2023))
    source = PageSource((table(cell(), cell(column="d", published=figures)),), Store(tmp_path))
    plain: Any = page_data([source], {})
    (data,) = plain["tables"]
    assert data["cells"]["published"] == {"1": [[2.5, "2.5", 0], [3.25, "3.25", 1]]}
    assert data["sources"] == [one.citation for one in figures]
