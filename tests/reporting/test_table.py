"""The table model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.reporting.matching import Matcher
from bench.reporting.run_rows import run_rows
from bench.reporting.table import cells_of
from bench.results.record import Record
from tests.support.made_up import METRIC, cell, failed_record, record, suite_plan, table


def test_seeds_at_one_place_are_one_cell() -> None:
    plan = suite_plan("nfe", seeds=3)
    n = len(plan.cells) // 3
    records: list[Record | None] = [None] * len(plan.cells)
    records[0], records[n], records[2 * n] = record(0, 0), record(0, 1), failed_record(0, 2)
    records[1] = failed_record(1, 0)
    first, second, third = cells_of(run_rows(plan, records, Matcher(())), METRIC)[:3]
    values = [record(0, seed).metrics[METRIC].value for seed in (0, 1)]
    assert first.value == np.mean(values)
    assert first.std == np.std(values, ddof=1)
    assert (first.status, first.seeds, first.planned) == ("finished", 2, 3)
    assert first.error == pytest.approx(0.01)
    assert first.reason == "ValueError: it broke | here"
    assert (second.status, second.value, second.std, second.nfe) == ("failed", None, None, None)
    assert (third.status, third.seeds, third.planned) == ("missing", 0, 3)


def test_a_cell_has_the_smallest_value_where_papers_report_it() -> None:
    plan = suite_plan("nfe", seeds=3)
    n = len(plan.cells) // 3
    records: list[Record | None] = [None] * len(plan.cells)
    records[0], records[n], records[2 * n] = record(0, 0), record(0, 1), failed_record(0, 2)
    records[1] = record(1, 0)
    rows = run_rows(plan, records, Matcher(()))
    first, second, third = cells_of(rows, METRIC, minima=True)[:3]
    assert first.minimum == min(record(0, seed).metrics[METRIC].value for seed in (0, 1))
    assert second.minimum is third.minimum is None  # one value, and none
    assert {cell.minimum for cell in cells_of(rows, METRIC)} == {None}


def test_rows_have_a_cell_per_column() -> None:
    made_up = table(
        cell(column="P"), cell(column="PC"), cell(row="s", column="PC"), cell(sde="vp", column="P")
    )
    assert made_up.columns == ("P", "PC")
    assert [(row.sde, row.row, [c is not None for c in row.cells]) for row in made_up.rows] == [
        ("ve", "r", [True, True]),
        ("ve", "s", [False, True]),
        ("vp", "r", [True, False]),
    ]


def test_a_table_is_complete_with_all_its_seeds() -> None:
    assert table(cell()).complete
    assert not table(cell(), cell(seeds=1)).complete


def test_the_heading_says_what_is_not_as_usual() -> None:
    assert table(cell()).heading == "mine · fd_dct on gaussian-cifar10, 100 samples per seed"
    text = table(cell(), precision="bf16", steps_scale=0.1).heading
    assert text.endswith("per seed, bf16, all step counts times 0.1: a small table of the full one's shape")


def test_a_frame_has_a_row_per_cell() -> None:
    frame = table(cell(pace=50.0, note="few"), cell(value=None, pace=None, status="missing")).frame()
    assert frame["seconds_per_sample"][0] == 0.02
    assert frame["flagged"].tolist() == [True, False]
    assert math.isnan(frame["value"][1])
    assert frame["x"].isna().all()


def test_a_notebook_draws_a_table() -> None:
    page = table(cell(best=True), notes=("One < two.",))._repr_html_()
    assert "<b>1.00 ± 0.10</b>" in page
    assert "<p>One &lt; two.</p>" in page
