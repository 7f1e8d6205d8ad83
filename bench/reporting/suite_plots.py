"""The plots of a suite's table, each with the data frame that it is drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from bench.reporting import plots
from bench.reporting.ranking import pareto_front
from bench.reporting.table import Table
from bench.reporting.text import make_printable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LIMIT_COLUMN = "limit_at_tolerance_0"
COLUMNS = ["sde", "row", "column", "x", "nfe", "seconds_per_sample", "mean", "std", "seeds", "error"]
COLUMNS += ["exact", LIMIT_COLUMN, "note"]
"""Columns of the CSV beside a plot."""

COST_LABELS: dict[Literal["nfe", "seconds_per_sample"], str] = {
    "nfe": "network calls per sample (NFE)",
    "seconds_per_sample": "seconds per sample",
}


@dataclasses.dataclass(frozen=True)
class Plot:
    """A figure, the stem of its file names, and its data."""

    name: str
    data: pd.DataFrame
    figure: Figure


def table_plots(table: Table) -> Iterator[Plot]:
    """A plot of rows by columns; else curves along ``x``, or along network calls and along seconds."""
    cells = table.frame().rename(columns={"value": "mean"})
    names = ("sde", "row", "column", "note")
    cells = cells.assign(**{name: cells[name].map(make_printable) for name in names})
    heading = make_printable(table.heading)
    # a number of network calls is no quality
    quantities = dict.fromkeys(one.quantity for one in table.elsewhere if one.metric != "nfe")
    published = make_printable(f"{', '.join(quantities)} of other checkpoints") if quantities else ""
    if table.ranked:
        columns = [name for name in COLUMNS if name != "x"]
        figure = plots.grid(cells, table.metric, published, heading, table.axis)
        yield Plot(f"{table.metric}-plot", _data(cells, columns), figure)
        return
    # the lines of a list have no common abscissa but their cost
    x = table.x if table.layout != "list" else None
    if x not in ("nfe", None):
        figure = plots.curve(cells, "x", x, table.metric, heading, published, table.axis)
        yield Plot(f"{table.metric}-{x}", _data(cells, COLUMNS), figure)
        return
    for cost, label in COST_LABELS.items():
        front = pareto_front(table.cells, cost, lower=table.lower_is_better)
        data = cells.assign(front=front)
        figure = plots.curve(data, cost, label, table.metric, heading, published, table.axis)
        name = "nfe" if cost == "nfe" else "seconds"
        yield Plot(f"{table.metric}-{name}", _data(data, [*COLUMNS, "front"]), figure)


def _data(cells: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns of a plot's CSV, and published figures where there are any, with semicolons between."""
    data = cells.rename(columns={"limit": LIMIT_COLUMN})[list(columns)]
    for name in ("published", "published_elsewhere"):
        if cells[name].map(len).any():
            texts = cells[name].map(lambda figures: "; ".join(f"{one.value:.10g}" for one in figures))
            data = data.assign(**{name: texts})
    return data
