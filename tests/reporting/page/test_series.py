"""The series of a page's charts: what is connected, and how it is called."""

from __future__ import annotations

from bench.reporting.page.series import series_names
from tests.support.made_up import cell, identity, plugin, record, table


def test_rows_are_series_where_their_cells_differ_in_cost() -> None:
    cells = [cell(row="a", column="NFE 5"), cell(row="a", column="NFE 10")]
    curve = table(*cells, layout="curve")
    assert series_names(curve, [None, None]) == ["a", "a"]
    assert series_names(table(*cells, layout="grid", x="nfe"), [None, None]) == ["a", "a"]
    assert series_names(table(*cells, layout="grid", x=None), [None, None]) == ["a · NFE 5", "a · NFE 10"]


def test_lines_of_a_list_are_joined_over_their_steps() -> None:
    cells = [cell(row=f"r{number}") for number in range(5)]
    records = [
        record(identity=identity(predictor=plugin("p", eta=eta), grid=plugin(grid), steps=steps))
        for eta, grid, steps in [
            (0.0, "uniform", 5),
            (0.0, "uniform", 10),
            (1.0, "uniform", 5),
            (0.0, "logsnr", 5),
        ]
    ]
    names = series_names(table(*cells, layout="list"), [*records, None])
    assert names == [
        "p, predictor.eta=0.0",
        "p, predictor.eta=0.0",
        "p, predictor.eta=1.0",
        "p · logsnr",
        "r4",
    ]
