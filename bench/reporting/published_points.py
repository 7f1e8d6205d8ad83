"""Published figures of a table's cells as the points of a plot: one per figure, at its cell's place."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import pandas as pd

from bench.reporting.published_figures import PublishedFigure

MARKER = "*"
"""What marks a published figure among values of its own checkpoint and metric."""
SAME_METRIC = "published, same checkpoint and metric"
"""What a legend calls these marks."""


def published_points(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    """The cells with ``published_value`` and ``published_spread``: a line per figure of a column, and one
    without values for a cell that has none."""
    points = cells.explode(column, ignore_index=True)
    figures = [one if isinstance(one, PublishedFigure) else None for one in points[column]]
    values = [None if one is None else one.value for one in figures]
    spreads = [None if one is None else one.std for one in figures]
    return points.assign(
        published_value=pd.Series(values, dtype=float), published_spread=pd.Series(spreads, dtype=float)
    )


class StarStyle(TypedDict):
    """The look of published figures beside values: keyword arguments of matplotlib."""

    color: str
    marker: str
    markerfacecolor: str
    markeredgecolor: str
    markeredgewidth: float
    linestyle: Literal["none"]


def marked(color: str) -> StarStyle:
    """The style of a row's published figures: a star of its color with a black edge, no line."""
    return {
        "color": color,
        "marker": MARKER,
        "markerfacecolor": color,
        "markeredgecolor": "black",
        "markeredgewidth": 0.6,
        "linestyle": "none",
    }


def legend_mark() -> Any:
    """The legend's entry of these marks."""
    from matplotlib.lines import Line2D

    return Line2D([], [], markersize=9, **marked("#FFFFFF"))
