"""Scales, limits and labels of axes."""

from __future__ import annotations

from math import nan

import pytest
from matplotlib.figure import Figure

from bench.reporting.figure_axes import abscissa, labels_between, lone_value_limits, value_axis
from bench.reporting.plot_points import PlotPoint


@pytest.mark.parametrize(
    ("means", "scale"), [([1.0, 2.0], "log"), ([1.0, 0.0], "symlog"), ([-1.0, 2.0], "symlog")]
)
def test_a_value_that_is_not_positive_makes_the_axis_linear_around_zero(
    means: list[float], scale: str
) -> None:
    axes = Figure().subplots()
    value_axis(axes, [PlotPoint("vp", "a", mean, std=0.1) for mean in means], "fd")
    assert axes.get_yscale() == scale
    assert axes.get_ylabel() == ("fd" if scale == "log" else "fd (linear below 0.1)")
    value_axis(axes, [], "fd", "linear")
    assert axes.get_ylabel() == "fd"


def test_a_lone_value_stands_in_the_middle() -> None:
    axes = Figure().subplots()
    axes.set_yscale("log")
    lone_value_limits(axes, [3.0, nan, 3.0])
    assert axes.get_ylim() == (1.5, 6.0)
    lone_value_limits(axes, [3.0, 4.0])
    assert axes.get_ylim() == (1.5, 6.0)
    abscissa(axes, [8.0, nan])
    assert axes.get_xlim() == (4.0, 16.0)


def test_minor_ticks_have_labels_where_few_decades_are_shown() -> None:
    axes = Figure().subplots()
    axes.set_yscale("log")
    label = labels_between(axes.yaxis)
    labels = []
    for high in (5.0, 50.0, 500.0):
        axes.set_ylim(1.0, high)
        labels.append([label(value) for value in (2.0, 3.0, 0.05)])
    assert labels == [["2", "3", "0.05"], ["2", "", "0.05"], ["", "", ""]]
