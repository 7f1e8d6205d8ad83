"""Scales, limits and labels of axes."""

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bench.reporting.figure_axes import abscissa, log_ticks, lone_value_limits, tick_places, value_axis
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


@given(st.floats(1e-12, 1e12), st.floats(1.3, 1e15))
def test_a_log_axis_has_some_round_ticks_within_its_limits(low: float, ratio: float) -> None:
    places = tick_places(low, low * ratio)
    assert 2 <= len(places) <= 11
    assert places == sorted(places)
    assert low <= places[0]
    assert places[-1] <= low * ratio
    assert all(float(f"{place:.2e}") == pytest.approx(place, rel=1e-12) for place in places)


def test_ticks_of_a_log_axis_follow_its_length() -> None:
    assert tick_places(71, 193) == [80, 100, 120, 140, 160, 180]
    assert tick_places(1, 5) == [1, 2, 3, 5]
    assert tick_places(0.09, 11) == [0.1, 0.2, 0.5, 1, 2, 5, 10]
    assert tick_places(0.5, 2000) == [1, 10, 100, 1000]


def test_the_log_axes_of_a_figure_show_these_ticks_alone() -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.set_yscale("log")
    axes.set_ylim(0.5, 2e6)
    log_ticks(figure)
    figure.draw_without_rendering()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["1", "10", "100", "1000", "10000", "100000", "1e6"]
    assert not list(axes.yaxis.get_minorticklocs())
