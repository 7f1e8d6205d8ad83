"""The axes of figures: their scales, limits and labels of ticks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, isnan, log10
from typing import TYPE_CHECKING, Literal

from bench.reporting.axis import linear_width
from bench.reporting.plot_points import PlotPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def value_axis(
    axes: Axes, points: Sequence[PlotPoint], metric: str, scale: Literal["log", "linear"] = "log"
) -> None:
    """Linear, or log where all values are positive; else linear around zero, as the label says.

    An unbiased estimate can be zero or negative; the linear part is as wide as the spread of the values.
    """
    from matplotlib.ticker import FuncFormatter

    if scale == "linear":
        axes.set_ylabel(metric)
        return
    values = [point.mean for point in points if point.has_value]
    if values and all(value > 0 for value in values):
        axes.set_yscale("log")
        lone_value_limits(axes, (value for one in points for value in (one.mean, one.exact, one.limit)))
        axes.set_ylabel(metric)
        return
    spreads = (point.error if isnan(point.std) else point.std for point in points)
    width = linear_width(spread for spread in spreads if not isnan(spread))
    axes.set_yscale("symlog", linthresh=width)
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.set_ylabel(f"{metric} (linear below {width:g})")


def lone_value_limits(axes: Axes, values: Iterable[float]) -> None:
    """Limits of a log axis around a lone value, for which matplotlib finds none."""
    different = {value for value in values if not isnan(value)}
    if len(different) == 1:
        (value,) = different
        if value > 0:
            axes.set_ylim(value / 2, value * 2)


def abscissa(axes: Axes, values: Iterable[float]) -> None:
    """Log; where a value is zero, linear up to the smallest positive one."""
    from matplotlib.ticker import FixedLocator, NullLocator

    places = sorted({value for value in values if not isnan(value)})
    positive = [place for place in places if place > 0]
    if 0 in places and positive:
        axes.set_xscale("symlog", linthresh=positive[0], linscale=0.4)
        axes.xaxis.set_major_locator(FixedLocator(places))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        return
    axes.set_xscale("log")
    if len(places) == 1:  # matplotlib finds no limits around a lone value
        axes.set_xlim(places[0] / 2, places[0] * 2)


def log_ticks(figure: Figure) -> None:
    """Ticks with labels on each log axis of a figure with its final limits; see `tick_places`."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                low, high = sorted(axis.get_view_interval())
                axis.set_major_locator(FixedLocator(tick_places(low, high)))
                axis.set_minor_locator(NullLocator())
                axis.set_major_formatter(FuncFormatter(_plain))


def tick_places(low: float, high: float) -> list[float]:
    """Round values from ``low`` to ``high`` that divide a log axis about evenly, at least two.

    Even steps up to a factor of 4, digits 1, 2, 3, 5, 7 up to 10, 1, 2, 5 up to 300, then powers of 10.
    """
    ratio = high / low
    if ratio <= 4:
        from matplotlib.ticker import MaxNLocator

        places = [float(place) for place in MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(low, high)]
    else:
        digits = (1, 2, 3, 5, 7) if ratio <= 10 else (1, 2, 5) if ratio <= 300 else (1,)
        decades = range(floor(log10(low)), ceil(log10(high)) + 1)
        stride = -(-len(decades) // 10)
        places = [float(f"{digit}e{decade}") for decade in decades[::stride] for digit in digits]
    return [place for place in places if low <= place <= high]


def _plain(value: float, place: int | None = None) -> str:
    """``0.01``, ``100``, ``1e6``: a tick's label in plain text."""
    del place
    text = f"{value:g}"
    return text.replace("e+0", "e").replace("e-0", "e-")
