"""Figures of a table's cells: a metric along a cost or a parameter, and rows by columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan, nan
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.reporting.figure_axes import abscissa, log_ticks, lone_value_limits, value_axis
from bench.reporting.figure_layout import NAME, TICKS, arrange, check_panels, shorten, tick_labels
from bench.reporting.figure_style import (
    SAME_METRIC,
    STYLE,
    THEORY,
    StarStyle,
    Style,
    legend_entries,
    star_entry,
    star_style,
    styles,
)
from bench.reporting.plot_points import PlotPoint, by_place, by_row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bench.reporting.published_figures import PublishedFigure

Marks = Callable[[PlotPoint], list[tuple[float, float]]]
"""What is drawn at a point's place: values with their spreads."""


def curve(
    points: Sequence[PlotPoint],
    label: str,
    metric: str,
    heading: str,
    published: str = "",
    scale: Literal["log", "linear"] = "log",
) -> Figure:
    """The metric along an abscissa that ``label`` names: a panel per SDE and a curve per row.

    Curves are means with a band of one standard deviation over seeds; bars are one seed's standard error. The
    values by theory are crosses in the color of their row. The Pareto front is drawn where points are on it.
    Published figures of the same checkpoint and metric are stars, others are in panels below, which
    ``published`` names. What is drawn around the values, and what a dagger means, is written below the
    heading.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        points = [point for point in points if point.has_value]
        sdes = list(dict.fromkeys(point.sde for point in points))
        check_panels(sdes)
        rows = list(dict.fromkeys(point.row for point in points))
        both = bool(published) and any(point.elsewhere for point in points)
        width = 1.4 + 4.6 * len(sdes)
        figure = Figure(figsize=(max(width, 7.0) if both else width, 8.0 if both else 5.6))
        look = styles(rows)
        shape = {"height_ratios": [3, 2]} if both else {}
        panels = figure.subplots(
            1 + both, len(sdes), sharex=both, sharey="row", squeeze=False, gridspec_kw=shape
        )
        daggers = _Daggers(points)
        value_axis(panels[0, 0], points, daggers.axis_label(shorten(metric, NAME)), scale)
        shade = 0.13 * min(1.0, 4 / len(rows))
        heights = [value for one in points for value in _heights(one) if value > 0]
        extra: dict[str, Any] = {}
        for j, (axes, sde) in enumerate(zip(panels[0], sdes, strict=True)):
            panel = [point for point in points if point.sde == sde]
            abscissa(axes, (point.x for point in panel))
            for row, own in by_row(panel).items():
                line = by_place(own)
                extra |= _curve(axes, line, look[row], shade)
                daggers.mark(axes, [point.x for point in line], line, look[row])
            front = by_place(point for point in panel if point.front)
            if len(front) > 1:
                (drawn,) = axes.step(
                    [point.x for point in front],
                    [point.mean for point in front],
                    where="post",
                    color="#888888",
                    linewidth=4,
                    alpha=0.35,
                    zorder=0,
                )
                extra["Pareto front"] = drawn
            # at its usual place, said so: matplotlib would lay out all ticks in search of it
            axes.set_title(shorten(sde, NAME), fontsize=10, y=1.0)
            panels[-1, j].set_xlabel(shorten(label, NAME))
            if both:
                _published(panels[1, j], panel, look, shorten(published, NAME) if j == 0 else "")
        first = panels[0, 0]  # whose limits all panels of its row share
        if first.get_yscale() == "log":  # a band that reaches zero would stretch the axis without end
            first.set_ylim(bottom=max(first.get_ylim()[0], 0.5 * min(heights)))
        spreads = _spreads(points, "Bands", "Bars")
        front_note = (
            "The Pareto front ignores differences within the spread." if "Pareto front" in extra else ""
        )
        remarks = [" ".join(filter(None, [*spreads, front_note])), daggers.note]
        log_ticks(figure)
        arrange(figure, [heading, *remarks], legend_entries(look) | extra)
        return figure


def _heights(point: PlotPoint) -> list[float]:
    """All values that are drawn at a point's place in the panel of its metric."""
    return [point.mean, point.exact, point.limit, *(figure.value for figure in point.published)]


def _curve(axes: Axes, line: Sequence[PlotPoint], style: Style, shade: float) -> dict[str, Any]:
    """Draw a row's points, by their abscissas, with all that stands around them; the legend's entries."""
    x = [point.x for point in line]
    mean = np.array([point.mean for point in line])
    std = np.array([point.std for point in line])
    axes.plot(x, mean, markersize=4, linewidth=1.2, **style)
    if len(line) > 1:
        axes.fill_between(x, mean - std, mean + std, color=style["color"], alpha=shade, linewidth=0)
    else:  # a band has no width at a single place
        _bars(axes, x, mean, std, style, elinewidth=5, alpha=2 * shade)
    _bars(axes, x, mean, np.array([_single_error(point) for point in line]), style)
    entries = _theory(axes, x, line, style)
    stars = [(point.x, figure) for point in line for figure in point.published]
    if stars:
        places, values = [x for x, _ in stars], [figure.value for _, figure in stars]
        axes.plot(places, values, markersize=9, **star_style(style["color"]))
        _bars(axes, places, np.array(values), np.array([_spread(figure) for _, figure in stars]), style)
        entries[SAME_METRIC] = star_entry()
    return entries


def _single_error(point: PlotPoint) -> float:
    """The standard error of a point without a deviation over seeds."""
    return point.error if isnan(point.std) else nan


def _spread(figure: PublishedFigure) -> float:
    return nan if figure.std is None else figure.std


def _spreads(points: Iterable[PlotPoint], deviation: str, error: str) -> list[str]:
    """What is drawn around the values, in words, such as "Bands: ± standard deviation over 5 seeds."."""
    valued = [point for point in points if point.has_value]
    seeds = [point.seeds for point in valued if not isnan(point.std)]
    texts = []
    if seeds:
        low, high = min(seeds), max(seeds)
        texts.append(
            f"{deviation}: ± standard deviation over {low if low == high else f'{low} to {high}'} seeds."
        )
    if any(not isnan(_single_error(point)) for point in valued):
        texts.append(f"{error}: ± standard error of one seed over its samples.")
    return texts


def _bars(
    axes: Axes, x: Sequence[float], y: NDArray[Any], size: NDArray[Any], style: Style | StarStyle, **more: Any
) -> None:
    """Vertical bars y ± size where a size is known."""
    if not np.isnan(size).all():
        bars: dict[str, Any] = {"elinewidth": 1.0} | more
        half = np.where(np.isnan(size), 0.0, size)
        axes.errorbar(x, y, yerr=half, fmt="none", ecolor=style["color"], **bars)


def _theory(
    axes: Axes, x: Sequence[float], line: Sequence[PlotPoint], style: Style | StarStyle
) -> dict[str, Any]:
    """Draw the values by theory in the color of their row, larger than its markers; the legend's entries."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    for field, (marker, name) in THEORY.items():
        values = [point.exact if field == "exact" else point.limit for point in line]
        if not all(map(isnan, values)):
            look: dict[str, Any] = {"marker": marker, "markersize": 8, "linestyle": "none"}
            axes.plot(x, values, color=style["color"], zorder=1.9, **look)
            entries[name] = Line2D([], [], color="#555555", **look)
    return entries


class _Daggers:
    """The daggers of a figure's flagged values: at the axis where all are flagged, else at each of them."""

    def __init__(self, points: Iterable[PlotPoint]) -> None:
        drawn = [point for point in points if point.has_value]
        flagged = [point for point in drawn if point.note]
        self.all = len(flagged) == len(drawn)
        notes = "; ".join(dict.fromkeys(point.note for point in flagged))
        self.note = f"† {notes}." if notes else ""

    def axis_label(self, label: str) -> str:
        """The label of the axis of values."""
        return f"{label} †" if self.note and self.all else label

    def mark(
        self, axes: Axes, x: Sequence[float], line: Sequence[PlotPoint], style: Style | StarStyle
    ) -> None:
        """Put a dagger at each flagged value of a row."""
        if self.all:
            return
        for place, point in zip(x, line, strict=True):
            if point.note:
                axes.annotate(
                    "†",
                    (place, point.mean),
                    xytext=(5, 2),
                    textcoords="offset points",
                    color=style["color"],
                    fontsize=10,
                )


def _published(axes: Axes, panel: Sequence[PlotPoint], look: Mapping[str, Style], label: str) -> None:
    """Draw the published figures of other checkpoints or metrics in a panel of their own."""
    for row, line in by_row(point for point in panel if point.elsewhere).items():
        # several sources of one place are points of one vertical
        figures = [(point.x, figure.value) for point in line for figure in point.elsewhere]
        style: Style = {**look[row], "linestyle": "none"}
        axes.plot([x for x, _ in figures], [value for _, value in figures], markersize=4, **style)
    axes.set_yscale("log")
    axes.set_ylabel(label)


def grid(
    points: Sequence[PlotPoint],
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
        sdes = list(dict.fromkeys(point.sde for point in points if point.has_value))
        check_panels(sdes)
        columns = list(dict.fromkeys(point.column for point in points))
        labels = tick_labels(columns)
        look = styles(list(dict.fromkeys(point.row for point in points)))
        both = bool(published) and any(point.elsewhere for point in points)
        figure = Figure(figsize=(1.2 + 4.4 * len(sdes), 6.6 if both else 4.4))
        panels = np.atleast_2d(figure.subplots(1 + both, len(sdes), sharex=True, sharey="row", squeeze=False))
        daggers = _Daggers(points)
        value_axis(panels[0, 0], points, daggers.axis_label(shorten(metric, NAME)), scale)
        handles: dict[str, Any] = {}
        theory: dict[str, Any] = {}
        for j, sde in enumerate(sdes):
            panel = [point for point in points if point.sde == sde]
            theory |= _dots(panels[0, j], panel, columns, look, _own_value, handles, daggers)
            panels[0, j].set_title(shorten(sde, NAME), fontsize=10, y=1.0)
            if any(point.published for point in panel):
                looks = {row: star_style(style["color"]) for row, style in look.items()}
                _dots(panels[0, j], panel, columns, looks, _published_beside, {}, size=9)
                theory[SAME_METRIC] = star_entry()
            if both:
                _dots(panels[1, j], panel, columns, look, _published_elsewhere, handles)
                panels[1, j].set_yscale("log")
                elsewhere = (one.value for point in points for one in point.elsewhere)
                lone_value_limits(panels[1, j], elsewhere)
                panels[1, j].set_ylabel(shorten(published, NAME) if j == 0 else "")
            bottom = panels[-1, j]
            # beyond some 20 columns their names would overlap
            stride = -(-len(columns) // TICKS)
            bottom.set_xticks(range(0, len(columns), stride), labels[::stride])
        spreads = _spreads(points, "Bars with caps", "Bars without caps")
        if any(one.std is not None for point in points for one in (*point.published, *point.elsewhere)):
            spreads.append("Bars of published figures: as published.")
        ticks = max(label.count("\n") + 1 for label in labels)
        log_ticks(figure)
        arrange(figure, [heading, " ".join(spreads), daggers.note], handles | theory, ticks)
        return figure


def _own_value(point: PlotPoint) -> list[tuple[float, float]]:
    return [(point.mean, point.std)] if point.has_value else []


def _published_beside(point: PlotPoint) -> list[tuple[float, float]]:
    return [(figure.value, _spread(figure)) for figure in point.published]


def _published_elsewhere(point: PlotPoint) -> list[tuple[float, float]]:
    return [(figure.value, _spread(figure)) for figure in point.elsewhere]


def _dots(
    axes: Axes,
    panel: Sequence[PlotPoint],
    columns: Sequence[str],
    look: Mapping[str, Style] | Mapping[str, StarStyle],
    marks: Marks,
    handles: dict[str, Any],
    daggers: _Daggers | None = None,
    size: float = 5,
) -> dict[str, Any]:
    """Draw a panel's values with their spread; the legend's entries of the values by theory."""
    theory: dict[str, Any] = {}
    rows = by_row(panel)
    order = {row: index for index, row in enumerate(rows)}
    beside: dict[str, list[str]] = {}
    for point in sorted(panel, key=lambda one: order[one.row]):
        names = beside.setdefault(point.column, [])
        if point.row not in names:
            names.append(point.row)
    for row, own in rows.items():
        at, line, values, spreads = [], [], [], []
        for point in own:
            names = beside[point.column]
            shift = 0.5 * (names.index(row) - (len(names) - 1) / 2) / len(names)
            for value, spread in marks(point):
                at.append(columns.index(point.column) + shift)
                line.append(point)
                values.append(value)
                spreads.append(spread)
        style: Any = {**look[row], "linestyle": "none"}
        (drawn,) = axes.plot(at, values, markersize=size, **style)
        handles.setdefault(row, drawn)
        _bars(axes, at, np.array(values), np.array(spreads), style, capsize=2)
        if daggers is not None:
            errors = np.array([_single_error(point) for point in line])
            _bars(axes, at, np.array(values), errors, style)
            theory |= _theory(axes, at, line, style)
            daggers.mark(axes, at, line, style)
    return theory
