"""The look of figures: colors, markers and dashes by the names of rows.

The colors are those of Okabe and Ito (2008), which color-blind readers can tell apart; markers differ too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from bench.reporting.text import LIMIT

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
MARKERS = "osD^vP*X"
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))
STAR = "*"
"""What marks a published figure among values of its own checkpoint and metric."""
SAME_METRIC = "published, same checkpoint and metric"
"""What a legend calls these marks."""
THEORY: dict[Literal["exact", "limit"], tuple[str, str]] = {
    "exact": ("x", "exact value"),
    "limit": ("+", LIMIT),
}
"""The values by theory: marker, and name in the legend."""
NO_ADDITION = "nothing added"
"""Legend's text for the marks of rows whose names have nothing after a comma, where others have."""
STYLE: Any = {
    "font.size": 9,
    "text.parse_math": False,  # names are not formulas
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "bench",
    "svg.fonttype": "none",
    "figure.dpi": 100,
    "savefig.dpi": 130,
}


class Style(TypedDict):
    """The look of a curve: keyword arguments of matplotlib."""

    color: str
    marker: str
    linestyle: Any
    markerfacecolor: str


class StarStyle(TypedDict):
    """The look of published figures beside values: keyword arguments of matplotlib."""

    color: str
    marker: str
    markerfacecolor: str
    markeredgecolor: str
    markeredgewidth: float
    linestyle: Literal["none"]


def styles(rows: list[str]) -> dict[str, Style]:
    """Color and marker by the text before the first comma of a row's name, dashes by the text after it.

    Where no name has a comma, dashes and white markers distinguish names of the same color.
    """
    heads = list(dict.fromkeys(row.partition(", ")[0] for row in rows))
    tails = list(dict.fromkeys(row.partition(", ")[2] for row in rows))
    styles_by_row: dict[str, Style] = {}
    for row in rows:
        head, _, tail = row.partition(", ")
        i, j = heads.index(head), tails.index(tail)
        cycle, i = divmod(i, len(COLORS))
        j = cycle if len(tails) == 1 else j
        color = COLORS[i]
        styles_by_row[row] = {
            "color": color,
            "marker": MARKERS[(i + cycle) % len(MARKERS)],
            "linestyle": DASHES[j % len(DASHES)],
            "markerfacecolor": color if j == 0 else "white",
        }
    return styles_by_row


def star_style(color: str) -> StarStyle:
    """The style of a row's published figures: a star of its color with a black edge, no line."""
    return {
        "color": color,
        "marker": STAR,
        "markerfacecolor": color,
        "markeredgecolor": "black",
        "markeredgewidth": 0.6,
        "linestyle": "none",
    }


def star_entry() -> Line2D:
    """The legend's entry of published figures beside values."""
    from matplotlib.lines import Line2D

    return Line2D([], [], markersize=9, **star_style("#FFFFFF"))


def legend_entries(look: Mapping[str, Style]) -> dict[str, Line2D]:
    """A legend's lines: colors and markers by name, then dashes and filling by the text after the comma."""
    from matplotlib.lines import Line2D

    entries: dict[str, Line2D] = {}
    tails = any(", " in row for row in look)
    for row, style in look.items():
        plain: Mapping[str, Any] = dict(style)
        if tails:
            plain = {"color": style["color"], "marker": style["marker"]}
        entries.setdefault(row.partition(", ")[0], Line2D([], [], markersize=5, **plain))
    for row, style in look.items():
        if tails:
            tail = row.partition(", ")[2] or NO_ADDITION
            fill = "#555555" if style["markerfacecolor"] != "white" else "white"
            plain = {"color": "#555555", "marker": "o", "markersize": 4.5, "markerfacecolor": fill}
            entries.setdefault(tail, Line2D([], [], linestyle=style["linestyle"], **plain))
    return entries
