"""Which plots a table has."""

from __future__ import annotations

import csv
from typing import Any

import pytest

from bench.reporting.suite_plots import table_plots
from tests.support.made_up import cell, figure, table


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"layout": "grid"}, ["fd_dct-plot"]),
        ({"layout": "grid", "x": "nfe"}, ["fd_dct-nfe", "fd_dct-seconds"]),
        ({"layout": "curve", "x": "snr"}, ["fd_dct-snr"]),
        ({"layout": "curve"}, ["fd_dct-nfe", "fd_dct-seconds"]),
        ({"layout": "list", "x": "snr"}, ["fd_dct-nfe", "fd_dct-seconds"]),
    ],
)
def test_the_layout_decides_the_plots(changes: dict[str, Any], names: list[str]) -> None:
    made_up = table(cell(x=0.1), cell(x=0.2, column="d", value=2.0, nfe=20.0), **changes)
    plots = list(table_plots(made_up))
    assert [plot.name for plot in plots] == names
    for plot in plots:
        assert plot.data["mean"] == [1.0, 2.0]
        assert ("front" in plot.data) == plot.name.endswith(("-nfe", "-seconds"))


def test_the_csv_holds_ten_digits_and_nothing_for_what_is_unknown() -> None:
    made_up = table(
        cell(value=1 / 3, std=None, published=(figure(value=2.5), figure(value=3.0))), layout="curve"
    )
    lines = next(table_plots(made_up)).csv().decode().splitlines()
    (row,) = csv.DictReader(lines)
    assert (row["mean"], row["std"], row["published"], row["front"]) == ("0.3333333333", "", "2.5; 3", "True")
