"""Published figures as a list and as a picture, without runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.reporting.layouts import Entry, TextTable
from bench.reporting.published_figures import PublishedFigure
from bench.reporting.text import make_printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.types import JSONValue

ORDERS: dict[str, Callable[[PublishedFigure], object]] = {
    "nfe": lambda figure: math.inf if figure.nfe is None else figure.nfe,
    "value": lambda figure: figure.value,
    "year": lambda figure: figure.year or 0,
}
"""What figures are sorted by, beside their own order."""


def sorted_by(name: str, figures: Sequence[PublishedFigure]) -> list[PublishedFigure]:
    """The figures in an order of `ORDERS`, within it as they were; any other name leaves them."""
    key = ORDERS.get(name)
    return list(figures) if key is None else sorted(figures, key=key)  # type: ignore[arg-type]


def figures_layout(figures: Sequence[PublishedFigure]) -> TextTable:
    """A line per figure; what its source does not state is empty."""
    header = (
        *("checkpoint", "data set", "metric", "SDE", "sampler", "in the source", "grid", "NFE", "guidance"),
        *("value", "source"),
    )
    lines = (
        (
            Entry(figure.checkpoint or f"({figure.network})"),
            Entry(figure.dataset),
            Entry(figure.quantity if figure.preset else f"{figure.metric} ?"),
            Entry(figure.sde),
            Entry(_sampler(figure)),
            Entry(figure.method + ("" if figure.kind == "training-free" else f" ({figure.kind})")),
            Entry(_with_parameters(figure, figure.grid, "grid.")),
            Entry("" if figure.nfe is None else str(figure.nfe)),
            Entry(figure.guidance if figure.guidance != "none" else ""),
            Entry(figure.text),
            Entry(f"{figure.citation}: {figure.read_from}"),
        )
        for figure in figures
    )
    return TextTable(header, tuple(lines)).without_empty_columns()


def _sampler(figure: PublishedFigure) -> str:
    text = _with_parameters(figure, figure.sampler, "predictor.", "corrector.", "solver.")
    return text if figure.sampler else ""


def _with_parameters(figure: PublishedFigure, name: str, *prefixes: str) -> str:
    """A name with the parameters of some roles; a question mark stands for what is not stated."""

    def text(value: JSONValue) -> str:
        return "?" if value is None else f"{value:g}" if isinstance(value, float) else f"{value}"

    values = [
        f"{key.partition('.')[2]}={text(value)}"
        for key, value in figure.parameters.items()
        if key.startswith(prefixes)
    ]
    return f"{name} ({', '.join(values)})" if values else name


def figures_plot(figures: Sequence[PublishedFigure]) -> Figure:
    """The figures against network calls: a panel per checkpoint and convention of the metric, a curve per
    sampler and source.

    Raises:
        BenchError: The figures are of several metrics or of too many checkpoints, or no number of network
            calls is stated.
    """
    from bench.reporting import plots
    from bench.reporting.plot_points import PlotPoint

    metrics = dict.fromkeys(figure.metric for figure in figures)
    if len(metrics) > 1:
        raise BenchError(f"a picture is of one metric: give --metric {' or '.join(metrics)}")
    known = [figure for figure in figures if figure.nfe is not None]
    if not known:
        raise BenchError("there is nothing to draw: no figure of these states its network calls")
    points = [
        PlotPoint(
            sde=make_printable(_panel(figure)),
            row=make_printable(_curve(figure)),
            mean=figure.value,
            x=float(figure.nfe or 0),
        )
        for figure in known
    ]
    # one panel beside another by checkpoint, and the best first in the legend
    points.sort(key=lambda point: (point.sde, point.row, point.x))
    (metric,) = metrics
    heading = f"Published {metric}: {len(known)} figures"
    return plots.curve(points, "network calls per sample (NFE)", metric, heading)


def _panel(figure: PublishedFigure) -> str:
    quantity = figure.quantity if figure.preset else f"{figure.metric}, convention not stated"
    return f"{figure.checkpoint or figure.network} · {quantity}"


def _curve(figure: PublishedFigure) -> str:
    """Color and marker follow the text before the first comma, which is the sampler; dashes the source."""
    return f"{figure.method.replace(', ', ' · ')}, {figure.source}"
