"""Cells as points of a figure."""

from __future__ import annotations

from math import isnan, nan

from bench.reporting.plot_points import PlotPoint, by_place, by_row, points_of_cells
from tests.support.made_up import cell, figure


def test_a_cell_is_a_point_and_what_is_unknown_is_nan() -> None:
    star = (figure(value=3.0),)
    cells = [cell(value=2.0, std=None, published=star), cell(value=None, row="b\x1b")]
    first, second = points_of_cells(cells, [0.5, None], [True, False])
    assert (first.mean, first.x, first.published, first.front) == (2.0, 0.5, star, True)
    assert isnan(first.std)
    assert (first.has_value, second.has_value, second.front) == (True, False, False)
    assert isnan(second.x)
    assert second.row.isprintable()


def test_rows_and_places_have_an_order() -> None:
    points = [PlotPoint("vp", row, 1.0, x) for row, x in (("b", 2.0), ("a", nan), ("b", 1.0), ("a", 3.0))]
    rows = by_row(points)
    assert list(rows) == ["b", "a"]
    assert [point.x for point in by_place(rows["b"])] == [1.0, 2.0]
    assert by_place(rows["a"])[0].x == 3.0
