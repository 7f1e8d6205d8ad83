"""Which plots a table has."""

from __future__ import annotations

from typing import Any

import pytest

from bench.reporting.suite_plots import table_plots
from tests.support.made_up import cell, table


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
        assert plot.data["mean"].tolist() == [1.0, 2.0]
        assert ("front" in plot.data) == plot.name.endswith(("-nfe", "-seconds"))
