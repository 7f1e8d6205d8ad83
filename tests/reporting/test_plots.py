"""Figures of a table's cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from bench.reporting import plots
from bench.reporting.figure_style import COLORS, SAME_METRIC, STAR
from bench.reporting.plot_points import PlotPoint
from bench.reporting.suite_plots import table_plots
from bench.reporting.table import Cell
from tests.support.made_up import cell, figure, table


def figure_of(*cells: Cell, **changes: Any) -> Figure:
    """The one or first figure of a table of these cells."""
    return next(table_plots(table(*cells, **changes))).figure


def words(picture: Figure) -> str:
    """The text above the panels."""
    assert picture.get_suptitle()
    return " ".join(picture.get_suptitle().split())


def lines(axes: Axes, marker: str) -> list[tuple[str, list[float]]]:
    """Color and values of everything that is drawn with that marker."""
    return [
        (to_hex(line.get_color()).upper(), np.asarray(line.get_ydata(), dtype=float).tolist())
        for line in axes.lines
        if line.get_marker() == marker
    ]


def half_lengths(axes: Axes) -> list[float]:
    """Half the length of every bar that is longer than 0."""
    bars = [part for one in axes.containers if isinstance(one, ErrorbarContainer) for part in one.lines[2]]
    lengths = []
    for bar in bars:
        assert isinstance(bar, LineCollection)
        segments = [np.asarray(segment) for segment in bar.get_segments()]
        lengths += [float(np.ptp(segment[:, 1]) / 2) for segment in segments]
    return [length for length in lengths if length > 0]


def two_rows(**changes: Any) -> list[Cell]:
    """Two rows of two cells."""
    return [
        cell(row=row, column=f"{nfe:g}", value=value, nfe=nfe, **changes)
        for row, value in (("a", 5.0), ("b", 7.0))
        for nfe in (10.0, 20.0)
    ]


LAYOUTS: list[dict[str, Any]] = [{"layout": "grid"}, {"layout": "curve"}]


def test_a_curve_has_a_place_for_zero() -> None:
    """An abscissa of 0 has a place and a label of its own; without one the axis is log, as ever."""
    for x, scale in (([0.0, 0.5, 1.0], "symlog"), ([0.5, 1.0, 2.0], "log")):
        points = [
            PlotPoint("vp", "ddim", mean, place) for mean, place in zip((1.0, 2.0, 3.0), x, strict=True)
        ]
        (axes,) = plots.curve(points, "scale", "fd", "").axes
        low, high = axes.get_xlim()
        assert (axes.get_xscale(), low <= x[0], x[-1] <= high) == (scale, True, True)
        if scale == "symlog":
            assert axes.get_xticks().tolist() == x


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_drawn_around_the_values_is_written_in_the_picture(layout: dict[str, Any]) -> None:
    several, single = two_rows(seeds=5, planned=5), two_rows(seeds=1, std=None, error=0.5)
    bands = "Bars with caps" if layout["layout"] == "grid" else "Bands"
    bars = "Bars without caps" if layout["layout"] == "grid" else "Bars"
    text = words(figure_of(*several, **layout))
    assert f"{bands}: ± standard deviation over 5 seeds." in text
    assert "standard error" not in text
    text = words(figure_of(*single, **layout))
    assert f"{bars}: ± standard error of one seed over its samples." in text
    assert "deviation" not in text
    text = words(figure_of(*several[:3], single[3], **layout))
    assert f"{bands}: ±" in text
    assert f"{bars}: ±" in text
    few = [cell(row="a", column="c", nfe=40.0, seeds=2, planned=5)]
    assert "over 2 to 5 seeds" in words(figure_of(*several, *few, **layout))
    nothing = words(figure_of(*two_rows(seeds=1, std=None, error=None), **layout))
    assert "±" not in nothing


def test_bars_of_published_figures_are_explained_too() -> None:
    for place in ("published", "published_elsewhere"):
        cells = two_rows(**{place: (figure(value=3.0, std=0.1),)})
        assert "Bars of published figures: as published." in words(figure_of(*cells))
        assert "as published" not in words(figure_of(*two_rows(**{place: (figure(value=3.0),)})))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_figures_are_points_in_the_panel_of_their_metric_or_below(layout: dict[str, Any]) -> None:
    """Every source is a point: two of one cell at the same place, with an entry of the legend."""
    disagreeing = (figure(value=15.93, source="one"), figure(value=16.57, source="other"))
    picture = figure_of(*two_rows(published=disagreeing), **layout)
    (axes,) = picture.axes
    stars = [line for line in axes.lines if line.get_marker() == STAR]
    heights = sorted(y for line in stars for y in np.atleast_1d(line.get_ydata()))
    assert heights == [15.93] * 4 + [16.57] * 4
    assert SAME_METRIC in [text.get_text() for text in picture.legends[0].get_texts()]
    upper, lower = figure_of(*two_rows(published_elsewhere=disagreeing), **layout).axes
    assert not [line for line in upper.lines if line.get_marker() == STAR]
    assert "fid-edm of other checkpoints" in lower.get_ylabel()
    heights = sorted(y for line in lower.lines for y in np.atleast_1d(line.get_ydata()))
    assert heights == [15.93] * 4 + [16.57] * 4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_known_standard_error_of_one_seed_is_drawn(layout: dict[str, Any]) -> None:
    axes = figure_of(*two_rows(seeds=1, std=None, error=0.5), **layout).axes[0]
    assert half_lengths(axes) == pytest.approx([0.5] * 4)
    # of several seeds the deviation is drawn instead: a band along a curve, a bar in a grid
    axes = figure_of(*two_rows(std=0.25, error=0.5), **layout).axes[0]
    assert half_lengths(axes) == pytest.approx([0.25] * 4 if layout["layout"] == "grid" else [])


def test_a_lone_place_of_a_curve_has_a_bar_for_a_band() -> None:
    axes = figure_of(cell(value=5.0, std=0.25), layout="curve").axes[0]
    assert half_lengths(axes) == pytest.approx([0.25])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("field", "marker", "name"), [("exact", "x", "exact value"), ("limit", "+", "limit at tolerance 0")]
)
def test_values_by_theory_have_their_samplers_color_and_their_own_name(
    layout: dict[str, Any], field: str, marker: str, name: str
) -> None:
    figure = figure_of(*two_rows(**{field: 6.0}), **layout)
    values = lines(figure.axes[0], marker)
    assert {color for color, _ in values} == set(COLORS[:2])
    assert all(y == 6.0 for _, ys in values for y in ys)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [one for one in names if one in ("exact value", "limit at tolerance 0")] == [name]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_with_a_note_have_a_dagger_and_the_note(layout: dict[str, Any]) -> None:
    cells = two_rows()
    assert "†" not in words(figure_of(*cells, **layout))
    noted = two_rows(note="n below 1000")
    figure = figure_of(*cells[:3], noted[3], **layout)
    assert [text.get_text() for text in figure.axes[0].texts] == ["†"]
    assert "† n below 1000." in words(figure)
    assert "†" not in figure.axes[0].get_ylabel()
    # where all values have one, it stands at the axis
    figure = figure_of(*noted, **layout)
    assert not figure.axes[0].texts
    assert figure.axes[0].get_ylabel().endswith("†")
    assert "† n below 1000." in words(figure)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_metric_decides_the_axis(layout: dict[str, Any]) -> None:
    for axis in ("log", "linear"):
        (axes, *_) = figure_of(*two_rows(), axis=axis, **layout).axes
        assert axes.get_yscale() == axis
    assert figure_of(*two_rows(), cell(value=-1.0), **layout).axes[0].get_yscale() == "symlog"


def test_all_values_of_all_panels_are_on_the_axis() -> None:
    """The panels share an axis; the last has the least value, two decades below the first's."""
    values = {"ve": (1.0, 0.5), "vp": (0.6, 0.004)}
    points = [
        PlotPoint(sde, "ddim", value, nfe)
        for sde, own in values.items()
        for nfe, value in zip((10.0, 100.0), own, strict=True)
    ]
    picture = plots.curve(points, "NFE", "fd", "")
    for axes in picture.axes:
        low, high = axes.get_ylim()
        assert low < 0.004 < 1.0 < high


def test_the_front_in_the_picture_says_what_it_ignores() -> None:
    falling = [cell(row="a", column=f"{n}", value=8.0 / n, nfe=float(n)) for n in (1, 2, 4)]
    assert "The Pareto front ignores differences within the spread." in words(
        figure_of(*falling, layout="curve")
    )
    # one cell is no front to draw
    assert "front" not in words(figure_of(falling[0], layout="curve"))


def test_a_curves_legend_explains_filled_and_open_marks() -> None:
    cells = [
        cell(row=row, column=f"{nfe:g}", value=value, nfe=nfe)
        for row, value in (("ddim", 5.0), ("ddim, denoise tweedie", 4.0), ("heun", 3.0))
        for nfe in (10.0, 20.0)
    ]
    (legend,) = figure_of(*cells, layout="curve").legends
    marks = zip(legend.get_texts(), legend.get_lines(), strict=True)
    fills = {text.get_text(): to_hex(mark.get_markerfacecolor()) for text, mark in marks}
    assert list(fills) == ["ddim", "heun", "nothing added", "denoise tweedie"]
    assert (fills["nothing added"], fills["denoise tweedie"]) == ("#555555", "#ffffff")
