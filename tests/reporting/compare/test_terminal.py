"""Comparisons on a terminal."""

from __future__ import annotations

from rich.console import Console

from bench.reporting.compare.comparison import Comparison, compare_sides
from bench.reporting.compare.layout import limit_lines, side_lines, summary_line, unpaired_lines
from bench.reporting.compare.terminal import print_comparison
from tests.reporting.compare.test_layout import sides
from tests.support.made_up import METRIC


def printed_lines(comparison: Comparison, width: int = 200) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        print_comparison(comparison, console)
    return capture.get().splitlines()


def test_rows_lie_down_where_there_is_little_room() -> None:
    comparison = compare_sides(*sides())
    for width, upright in ((200, True), (80, False)):
        lines = [line.split() for line in printed_lines(comparison, width)]
        assert (["verdict", "B", "worse"] in lines) is not upright


def test_every_line_is_printed_whole_and_in_order() -> None:
    comparison = compare_sides(*sides(), limits=[f"{METRIC}:5%"])
    lines = printed_lines(comparison, width=40)
    expected = [
        *side_lines(comparison),
        summary_line(comparison),
        *comparison.remarks,
        *unpaired_lines(comparison),
        *limit_lines(comparison),
    ]
    places = [lines.index(line) for line in expected]
    assert places == sorted(places)
    assert any(f"fail-on {METRIC}" in line for line in expected)
