"""The plots of a suite's table, each with the numbers that it is drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from bench.reporting import plots
from bench.reporting.plot_points import points_of_cells
from bench.reporting.ranking import pareto_front
from bench.reporting.table import Cell, Table
from bench.reporting.text import make_printable
from bench.reporting.writers import Value, csv_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "sde": "sde",
    "row": "row",
    "column": "column",
    "x": "x",
    "nfe": "nfe",
    "seconds_per_sample": "seconds_per_sample",
    "mean": "value",
    "std": "std",
    "seeds": "seeds",
    "error": "error",
    "exact": "exact",
    "limit_at_tolerance_0": "limit",
    "note": "note",
}
"""Columns of the CSV beside a plot, and the fields of a cell that they hold."""

COST_LABELS: dict[Literal["nfe", "seconds_per_sample"], str] = {
    "nfe": "network calls per sample (NFE)",
    "seconds_per_sample": "seconds per sample",
}


@dataclasses.dataclass(frozen=True)
class Plot:
    """A figure, the stem of its file names, and its numbers by the columns of its CSV."""

    name: str
    data: dict[str, list[Value]]
    figure: Figure

    def csv(self) -> bytes:
        """The numbers with ten significant digits each."""
        columns = ([_text(value) for value in values] for values in self.data.values())
        return csv_bytes(list(self.data), zip(*columns, strict=True))


def table_plots(table: Table) -> Iterator[Plot]:
    """A plot of rows by columns; else curves along ``x``, or along network calls and along seconds."""
    cells = table.cells
    heading = make_printable(table.heading)
    # a number of network calls is no quality
    quantities = dict.fromkeys(one.quantity for one in table.elsewhere if one.metric != "nfe")
    published = make_printable(f"{', '.join(quantities)} of other checkpoints") if quantities else ""
    if table.ranked:
        points = points_of_cells(cells)
        figure = plots.grid(points, table.metric, published, heading, table.axis)
        yield Plot(f"{table.metric}-plot", _data(cells, without="x"), figure)
        return
    # the lines of a list have no common abscissa but their cost
    x = table.x if table.layout != "list" else None
    if x not in ("nfe", None):
        points = points_of_cells(cells, [cell.x for cell in cells])
        figure = plots.curve(points, x, table.metric, heading, published, table.axis)
        yield Plot(f"{table.metric}-{x}", _data(cells), figure)
        return
    for cost, label in COST_LABELS.items():
        front = pareto_front(cells, cost, lower=table.lower_is_better)
        points = points_of_cells(cells, [getattr(cell, cost) for cell in cells], front)
        figure = plots.curve(points, label, table.metric, heading, published, table.axis)
        name = "nfe" if cost == "nfe" else "seconds"
        yield Plot(f"{table.metric}-{name}", _data(cells, front), figure)


def _data(cells: Sequence[Cell], front: Sequence[bool] = (), without: str = "") -> dict[str, list[Value]]:
    """The columns of a plot's CSV, and published figures where there are any, with semicolons between."""
    data: dict[str, list[Value]] = {
        name: [_printable(getattr(cell, field)) for cell in cells]
        for name, field in COLUMNS.items()
        if name != without
    }
    if front:
        data["front"] = list(front)
    for name in ("published", "published_elsewhere"):
        figures = [getattr(cell, name) for cell in cells]
        if any(figures):
            data[name] = ["; ".join(f"{one.value:.10g}" for one in several) for several in figures]
    return data


def _printable(value: Value) -> Value:
    return make_printable(value) if isinstance(value, str) else value


def _text(value: Value) -> Value:
    return f"{value:.10g}" if isinstance(value, float) else value
