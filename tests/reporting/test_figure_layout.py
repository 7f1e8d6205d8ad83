"""Layout and files of a figure."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.errors import BenchError
from bench.files import replace_file
from bench.reporting.figure_layout import (
    LEGEND,
    PANELS,
    TICK_LINES,
    arrange,
    check_panels,
    images,
    save,
    shorten,
    tick_labels,
)


def test_a_long_name_is_cut_in_its_middle() -> None:
    assert shorten("abcdefghij", 5) == "ab…ij"
    assert shorten("abcde", 5) == "abcde"


def test_a_long_legend_makes_the_figure_higher_and_ends_in_a_count() -> None:
    heights = []
    for count in (1, LEGEND + 20):
        figure = Figure(figsize=(6.0, 4.0))
        figure.subplots()
        arrange(figure, ["a heading"], {f"a row of the number {i}": Line2D([], []) for i in range(count)})
        heights.append(figure.get_size_inches()[1])
    assert heights[0] < heights[1]
    assert figure.legends[0].get_texts()[-1].get_text() == "… and 20 more"
    assert figure.get_suptitle() == "a heading"


def test_too_many_panels_and_none_are_an_error() -> None:
    check_panels(["vp"] * PANELS)
    for sdes, reason in ((["vp"] * (PANELS + 1), "more panels"), ([], "no cell has a value")):
        with pytest.raises(BenchError, match=reason):
            check_panels(sdes)


def test_a_ticks_label_has_a_word_per_line_and_not_too_many() -> None:
    assert tick_labels(["10 steps"]) == ["10\nsteps"]
    (label,) = tick_labels([" ".join("abcdefghij")])
    assert label.split("\n") == [*"abcde", "…"][-TICK_LINES:]


def test_the_files_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    paths = save(figure, tmp_path / "a", replace_file)
    assert [path.name for path in paths] == ["a.png", "a.svg"]
    assert [path.read_bytes() for path in paths] == [content for _, content in images(figure)]
