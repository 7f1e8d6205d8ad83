"""The look of rows."""

from __future__ import annotations

from bench.reporting.figure_style import COLORS, DASHES, NO_ADDITION, legend_entries, styles


def test_what_stands_before_the_comma_has_a_color_and_what_follows_it_dashes() -> None:
    look = styles(["ddim", "ddim, denoise mean", "heun"])
    assert [style["color"] for style in look.values()] == [COLORS[0], COLORS[0], COLORS[1]]
    assert [style["linestyle"] for style in look.values()] == [DASHES[0], DASHES[1], DASHES[0]]
    assert look["ddim, denoise mean"]["markerfacecolor"] == "white"
    assert list(legend_entries(look)) == ["ddim", "heun", NO_ADDITION, "denoise mean"]


def test_rows_beyond_the_colors_still_differ() -> None:
    look = styles([f"row {i}" for i in range(len(COLORS) + 1)])
    assert len({repr(style) for style in look.values()}) == len(look)
    assert list(legend_entries(look)) == list(look)
