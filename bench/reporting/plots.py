"""Figures of a table's cells: a metric along a cost or a parameter, and rows by columns.

The colors are those of Okabe and Ito (2008), which color-blind readers can tell apart; markers differ too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.reporting.axis import linear_width
from bench.reporting.published_points import SAME_METRIC, legend_mark, marked, published_points
from bench.reporting.text import LIMIT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter


COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
MARKERS = "osD^vP*X"
LEGEND, PANELS, TICKS = 80, 12, 20
"""Greatest number of names in a legend, of panels side by side, and of names at an axis."""
TICK_TEXT, TICK_LINES = 50, 6
"""Characters that fit side by side below a panel, and the greatest number of lines of a tick's label."""
NAME = 56
"""Greatest number of characters of a name above or beside a panel."""
THEORY = {"exact": ("x", "exact value"), "limit": ("+", LIMIT)}
"""Columns of the values by theory: marker, and name in the legend."""
NO_ADDITION = "nothing added"
"""Legend's text for the marks of rows whose names have nothing after a comma, where others have."""
MARGINS = 2.0
"""Inches above and below the panels that a figure's usual height leaves."""
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))
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


def images(figure: Figure) -> Iterator[tuple[str, bytes]]:
    """A figure as ``png`` and ``svg``: suffix and content, the same bytes each time."""
    import io

    import matplotlib as mpl

    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            figure.savefig(buffer, format=suffix, metadata=metadata)
        yield suffix, buffer.getvalue()


def save(figure: Figure, stem: Path, write: Callable[[Path, bytes], None]) -> list[Path]:
    """Write the `images` of a figure beside ``stem``; their paths."""
    paths = []
    for suffix, content in images(figure):
        paths.append(stem.with_name(f"{stem.name}.{suffix}"))
        write(paths[-1], content)
    return paths


class Style(TypedDict):
    """The look of a curve: keyword arguments of matplotlib."""

    color: str
    marker: str
    linestyle: Any
    markerfacecolor: str


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


def value_axis(axes: Axes, cells: pd.DataFrame, metric: str, scale: Literal["log", "linear"] = "log") -> None:
    """Linear, or log where all values are positive; else linear around zero, as the label says.

    An unbiased estimate can be zero or negative; the linear part is as wide as the spread of the values.
    """
    from matplotlib.ticker import FuncFormatter

    values = cells["mean"].dropna()
    if scale == "linear":
        axes.set_ylabel(metric)
        return
    if len(values) and (values > 0).all():
        axes.set_yscale("log")
        _log_limits(axes, cells[["mean", *THEORY]])
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_formatter(_between(axes.yaxis))
        axes.set_ylabel(metric)
        return
    width = linear_width(cells["std"].fillna(cells["error"]).dropna())
    axes.set_yscale("symlog", linthresh=width)
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.set_ylabel(f"{metric} (linear below {width:g})")


def _log_limits(axes: Axes, frame: pd.DataFrame) -> None:
    """Limits of a log axis around a lone value, for which matplotlib finds none."""
    values = np.unique(frame.to_numpy()[frame.notna().to_numpy()])
    if len(values) == 1 and values[0] > 0:
        axes.set_ylim(values[0] / 2, values[0] * 2)


def _plain(value: float, place: int | None = None) -> str:
    """``0.01``, ``100``, ``1e6``: a tick's label in plain text."""
    del place
    text = f"{value:g}"
    return text.replace("e+0", "e").replace("e-0", "e-")


def _between(axis: Axis) -> Formatter:
    """Labels of a log axis's minor ticks, where it spans less than two decades."""
    from matplotlib.ticker import FuncFormatter

    def label(value: float, place: int | None = None) -> str:
        del place
        low, high = axis.get_view_interval()
        digits = "23457" if high < 10 * low else "25" if high < 100 * low else ""
        return _plain(value) if f"{value:.0e}"[0] in digits else ""

    return FuncFormatter(label)


def curve(
    cells: pd.DataFrame,
    x: str,
    label: str,
    metric: str,
    heading: str,
    published: str = "",
    scale: Literal["log", "linear"] = "log",
) -> Figure:
    """The metric along ``x``: a panel per SDE and a curve per row.

    Curves are means with a band of one standard deviation over seeds; bars are one seed's standard error. The
    values by theory are crosses in the color of their row. The Pareto front is drawn where ``cells`` has a
    column ``front``. Published figures of the same checkpoint and metric are stars, others are in panels
    below, which ``published`` names. What is drawn around the values, and what a dagger means, is written
    below the heading.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        cells = cells[cells["mean"].notna()]
        sdes = list(dict.fromkeys(cells["sde"]))
        _check_panels(sdes)
        rows = list(dict.fromkeys(cells["row"]))
        elsewhere = published_points(cells, "published_elsewhere")
        both = bool(published) and bool(elsewhere["published_value"].notna().any())
        width = 1.4 + 4.6 * len(sdes)
        figure = Figure(figsize=(max(width, 7.0) if both else width, 8.0 if both else 5.6))
        look = styles(rows)
        shape = {"height_ratios": [3, 2]} if both else {}
        panels = figure.subplots(
            1 + both, len(sdes), sharex=both, sharey="row", squeeze=False, gridspec_kw=shape
        )
        stars = published_points(cells, "published")
        stars = stars[stars["published_value"].notna()]
        daggers = _Daggers(cells)
        value_axis(panels[0, 0], cells, daggers.axis_label(_short(metric, NAME)), scale)
        shade = 0.13 * min(1.0, 4 / len(rows)) if rows else 0.0
        extra: dict[str, Any] = {}
        for j, (axes, sde) in enumerate(zip(panels[0], sdes, strict=True)):
            panel = cells[cells["sde"] == sde]
            _abscissa(axes, panel[x])
            for row, line in panel.groupby("row", sort=False):
                line, style = line.sort_values(x), look[str(row)]
                axes.plot(line[x], line["mean"], markersize=4, linewidth=1.2, **style)
                low, high = line["mean"] - line["std"], line["mean"] + line["std"]
                if len(line) > 1:
                    axes.fill_between(line[x], low, high, color=style["color"], alpha=shade, linewidth=0)
                else:  # a band has no width at a single place
                    _bars(axes, line[x], line["mean"], line["std"], style, elinewidth=5, alpha=2 * shade)
                _bars(axes, line[x], line["mean"], line["error"].where(line["std"].isna()), style)
                extra |= _theory(axes, line[x], line, style)
                if len(stars):
                    here = (stars["sde"] == sde) & (stars["row"] == row)
                    extra |= _stars(axes, stars[here].sort_values(x), x, style)
                daggers.mark(axes, line[x], line, style)
            front = panel[panel["front"]].sort_values(x) if "front" in panel else panel[:0]
            if len(front) > 1:
                (drawn,) = axes.step(
                    front[x], front["mean"], where="post", color="#888888", linewidth=4, alpha=0.35, zorder=0
                )
                extra["Pareto front"] = drawn
            # at its usual place, said so: matplotlib would lay out all ticks in search of it
            axes.set_title(_short(sde, NAME), fontsize=10, y=1.0)
            if axes.get_yscale() == "log":  # a band that reaches zero would stretch the axis without end
                values = np.append(cells[["mean", *THEORY]].to_numpy(), stars["published_value"])
                axes.set_ylim(bottom=max(axes.get_ylim()[0], 0.5 * float(np.nanmin(values[values > 0]))))
            panels[-1, j].set_xlabel(_short(label, NAME))
            if both:
                below = elsewhere[elsewhere["sde"] == sde]
                _published(panels[1, j], below, x, look, _short(published, NAME) if j == 0 else "")
        spreads = _spreads(cells, "Bands", "Bars")
        front_note = (
            "The Pareto front ignores differences within the spread." if "Pareto front" in extra else ""
        )
        remarks = [" ".join(filter(None, [*spreads, front_note])), daggers.note]
        _arrange(figure, [heading, *remarks], _entries(look) | extra)
        return figure


def _spreads(cells: pd.DataFrame, deviation: str, error: str) -> list[str]:
    """What is drawn around the values, in words, such as "Bands: ± standard deviation over 5 seeds."."""
    several = cells[cells["mean"].notna() & cells["std"].notna()]
    single = cells[cells["mean"].notna() & cells["std"].isna() & cells["error"].notna()]
    texts = []
    if len(several):
        low, high = int(several["seeds"].min()), int(several["seeds"].max())
        texts.append(
            f"{deviation}: ± standard deviation over {low if low == high else f'{low} to {high}'} seeds."
        )
    if len(single):
        texts.append(f"{error}: ± standard error of one seed over its samples.")
    return texts


def _bars(axes: Axes, x: Any, y: pd.Series[float], size: pd.Series[float], style: Style, **more: Any) -> None:
    """Vertical bars y ± size where a size is known."""
    if size.notna().any():
        bars: dict[str, Any] = {"elinewidth": 1.0} | more
        axes.errorbar(x, y, yerr=size.fillna(0), fmt="none", ecolor=style["color"], **bars)


def _theory(axes: Axes, x: Any, line: pd.DataFrame, style: Style) -> dict[str, Any]:
    """Draw the values by theory in the color of their row, larger than its markers; the legend's entries."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    for column, (marker, name) in THEORY.items():
        if line[column].notna().any():
            look: dict[str, Any] = {"marker": marker, "markersize": 8, "linestyle": "none"}
            axes.plot(x, line[column], color=style["color"], zorder=1.9, **look)
            entries[name] = Line2D([], [], color="#555555", **look)
    return entries


class _Daggers:
    """The daggers of a figure's flagged values: at the axis where all are flagged, else at each of them."""

    def __init__(self, cells: pd.DataFrame) -> None:
        drawn = cells[cells["mean"].notna()]
        flagged = drawn[drawn["note"] != ""]
        self.all = len(flagged) == len(drawn)
        notes = "; ".join(dict.fromkeys(flagged["note"]))
        self.note = f"† {notes}." if notes else ""

    def axis_label(self, label: str) -> str:
        """The label of the axis of values."""
        return f"{label} †" if self.note and self.all else label

    def mark(self, axes: Axes, x: Any, line: pd.DataFrame, style: Style) -> None:
        """Put a dagger at each flagged value of a row."""
        if self.all:
            return
        for place, value, note in zip(x, line["mean"], line["note"], strict=True):
            if note:
                axes.annotate(
                    "†",
                    (place, value),
                    xytext=(5, 2),
                    textcoords="offset points",
                    color=style["color"],
                    fontsize=10,
                )


def _abscissa(axes: Axes, values: pd.Series[float]) -> None:
    """Log; where a value is zero, linear up to the smallest positive one."""
    from matplotlib.ticker import FixedLocator, NullLocator

    if len(values) and (values == 0).any() and (values > 0).any():
        axes.set_xscale("symlog", linthresh=float(values[values > 0].min()), linscale=0.4)
        axes.xaxis.set_major_locator(FixedLocator(sorted(set(values))))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        return
    axes.set_xscale("log")
    places = values.dropna().unique()
    if len(places) == 1:  # matplotlib finds no limits around a lone value
        axes.set_xlim(places[0] / 2, places[0] * 2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(_between(axes.xaxis))


def _published(axes: Axes, panel: pd.DataFrame, x: str, look: Mapping[str, Style], label: str) -> None:
    for row, line in panel[panel["published_value"].notna()].groupby("row", sort=False):
        # several sources of one place are points of one vertical
        style: Style = {**look[str(row)], "linestyle": "none"}
        axes.plot(line[x], line["published_value"], markersize=4, **style)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(_between(axes.yaxis))
    axes.set_ylabel(label)


def _stars(axes: Axes, points: pd.DataFrame, x: str, style: Style) -> dict[str, Any]:
    """Mark the published figures of a row's own checkpoint and metric; the legend's entry."""
    if points.empty:
        return {}
    axes.plot(points[x], points["published_value"], markersize=9, **marked(style["color"]))
    _bars(axes, points[x], points["published_value"], points["published_spread"], style)
    return {SAME_METRIC: legend_mark()}


def _entries(look: Mapping[str, Style]) -> dict[str, Any]:
    """A legend's lines: colors and markers by name, then dashes and filling by the text after the comma."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
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


def _arrange(figure: Figure, texts: Sequence[str], entries: Mapping[str, Any], ticks: int = 1) -> None:
    """Texts above, legend below, and the panels between them; a long legend makes the figure higher.

    The sizes are computed in inches: matplotlib's search for a layout takes as long as the drawing.
    ``ticks`` is the number of text lines at the lower axes' ticks.
    """
    import textwrap

    width, height = figure.get_size_inches()
    names = [_short(name, int((width - 0.9) / 0.075)) for name in entries]
    handles = list(entries.values())
    if len(names) > LEGEND:
        more = len(names) - LEGEND
        names, handles = [*names[:LEGEND], f"… and {more} more"], [*handles[:LEGEND], _no_line()]
    # a letter is 0.075 inches wide, a legend line 0.7
    columns = int(width / (0.7 + 0.075 * max(map(len, names), default=0)))
    columns = max(1, min(len(names), 5, columns))
    most = int(width * 13)
    lines = [line for text in texts for line in textwrap.wrap(_short(text, most * 4), most)]
    legend_lines = -(-len(names) // columns)
    above, below = 0.32 + 0.15 * len(lines), 0.72 + 0.175 * legend_lines + 0.14 * max(ticks - 2, 0)
    # what does not fit in the usual margins is added, so that the panels keep their size
    height += max(0.0, above + below - MARGINS)
    figure.set_size_inches(width, height)
    figure.suptitle("\n".join(lines), fontsize=9, y=1 - 0.06 / height, va="top")
    figure.legend(handles, names, loc="lower center", ncols=columns, handlelength=3.2)
    figure.subplots_adjust(
        left=0.85 / width,
        right=1 - 0.12 / width,
        top=1 - above / height,
        bottom=below / height,
        wspace=0.06,
        hspace=0.08,
    )


def _short(name: str, most: int) -> str:
    """The name, cut in its middle to ``most`` characters: names of one table often differ at their ends."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def _no_line() -> Any:
    """The handle of a legend's text without a line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none")


def _check_panels(sdes: list[str]) -> None:
    """`BenchError` where a figure would be too wide to be read or drawn."""
    if not sdes:
        raise BenchError("no cell has a value")
    if len(sdes) > PANELS:
        raise BenchError(f"{len(sdes)} SDEs are more panels than the {PANELS} that a picture holds")


def _tick_labels(columns: list[str]) -> list[str]:
    """Names of columns, a word per line, cut to what fits below the axes."""
    import textwrap

    most = max(8, TICK_TEXT // min(len(columns), TICKS))
    labels = []
    for column in columns:
        words = [line for word in column.split() for line in textwrap.wrap(word, most)]
        words = words if len(words) <= TICK_LINES else [*words[: TICK_LINES - 1], "…"]
        labels.append("\n".join(words))
    return labels


def grid(
    cells: pd.DataFrame,
    metric: str,
    published: str,
    heading: str,
    scale: Literal["log", "linear"] = "log",
) -> Figure:
    """A table's values: a panel per SDE, a place per column, a marker per row.

    Published figures of the same checkpoint and metric are stars, others are in panels below, which
    ``published`` names. Bars and daggers are explained below the heading.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        sdes = list(dict.fromkeys(cells.loc[cells["mean"].notna(), "sde"]))
        _check_panels(sdes)
        columns = list(dict.fromkeys(cells["column"]))
        labels = _tick_labels(columns)
        look = styles(list(dict.fromkeys(cells["row"])))
        beside = published_points(cells, "published")
        elsewhere = published_points(cells, "published_elsewhere")
        both = bool(published) and bool(elsewhere["published_value"].notna().any())
        figure = Figure(figsize=(1.2 + 4.4 * len(sdes), 6.6 if both else 4.4))
        panels = np.atleast_2d(figure.subplots(1 + both, len(sdes), sharex=True, sharey="row", squeeze=False))
        daggers = _Daggers(cells)
        value_axis(panels[0, 0], cells, daggers.axis_label(_short(metric, NAME)), scale)
        handles: dict[str, Any] = {}
        theory: dict[str, Any] = {}
        for j, sde in enumerate(sdes):
            panel = cells[cells["sde"] == sde]
            theory |= _dots(panels[0, j], panel, columns, look, "mean", "std", handles, daggers)
            panels[0, j].set_title(_short(sde, NAME), fontsize=10, y=1.0)
            stars = beside[beside["sde"] == sde]
            if stars["published_value"].notna().any():
                looks: Any = {row: marked(style["color"]) for row, style in look.items()}
                _dots(panels[0, j], stars, columns, looks, "published_value", "published_spread", {}, size=9)
                theory[SAME_METRIC] = legend_mark()
            if both:
                below = elsewhere[elsewhere["sde"] == sde]
                _dots(panels[1, j], below, columns, look, "published_value", "published_spread", handles)
                panels[1, j].set_yscale("log")
                _log_limits(panels[1, j], elsewhere[["published_value"]])
                panels[1, j].set_ylabel(_short(published, NAME) if j == 0 else "")
                panels[1, j].yaxis.set_major_formatter("{x:g}")
                panels[1, j].yaxis.set_minor_formatter("{x:g}")
            bottom = panels[-1, j]
            # beyond some 20 columns their names would overlap
            stride = -(-len(columns) // TICKS)
            bottom.set_xticks(range(0, len(columns), stride), labels[::stride])
        spreads = _spreads(cells, "Bars with caps", "Bars without caps")
        if any(points["published_spread"].notna().any() for points in (beside, elsewhere)):
            spreads.append("Bars of published figures: as published.")
        ticks = max(label.count("\n") + 1 for label in labels)
        _arrange(figure, [heading, " ".join(spreads), daggers.note], handles | theory, ticks)
        return figure


def _dots(
    axes: Axes,
    panel: pd.DataFrame,
    columns: list[str],
    look: Mapping[str, Style],
    value: str,
    spread: str,
    handles: dict[str, Any],
    daggers: _Daggers | None = None,
    size: float = 5,
) -> dict[str, Any]:
    """Draw a panel's values with their spread; the legend's entries of the values by theory."""
    theory: dict[str, Any] = {}
    rows = list(dict.fromkeys(panel["row"]))
    for row in rows:
        line = panel[(panel["row"] == row) & panel[value].notna()]
        at = []
        for column in line["column"]:
            there = set(panel.loc[panel["column"] == column, "row"])
            beside = [name for name in rows if name in there]
            shift = 0.5 * (beside.index(row) - (len(beside) - 1) / 2) / len(beside)
            at.append(columns.index(column) + shift)
        style: Style = {**look[row], "linestyle": "none"}
        (drawn,) = axes.plot(at, line[value], markersize=size, **style)
        handles.setdefault(row, drawn)
        _bars(axes, at, line[value], line[spread], style, capsize=2)
        if daggers is not None:
            _bars(axes, at, line[value], line["error"].where(line[spread].isna()), style)
            theory |= _theory(axes, at, line, style)
            daggers.mark(axes, at, line, style)
    return theory
