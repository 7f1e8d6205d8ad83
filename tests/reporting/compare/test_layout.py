"""How a comparison reads."""

from __future__ import annotations

from bench.reporting.compare.comparison import compare_sides
from bench.reporting.compare.layout import (
    comparison_layout,
    limit_lines,
    side_lines,
    summary_line,
    unpaired_lines,
)
from bench.results.record import Record
from tests.support.made_up import METRIC, failed_record, metric_record, record


def sides() -> tuple[list[Record], list[Record]]:
    """Two cells at two seeds; the second is worse in B, and a third fails there."""
    a = [record(i, seed) for i in (0, 1) for seed in (0, 1)]
    worse = {METRIC: metric_record(value=99.0)}
    b = [record(0, seed) for seed in (0, 1)] + [record(1, seed, metrics=worse) for seed in (0, 1)]
    return [*a, record(2)], [*b, failed_record(2)]


def test_the_lines_say_what_is_compared() -> None:
    comparison = compare_sides(*sides(), limits=[f"{METRIC}:5%"])
    layout = comparison_layout(comparison)
    assert layout.header[:3] == ("cell", "metric", "A")
    assert [line[-1].text for line in layout.lines] == ["no difference shown", "B worse"]
    assert side_lines(comparison) == ["A  A: 5 runs", "B  B: 5 runs"]
    assert summary_line(comparison).startswith(
        "2 cells compared, 100 samples each; geometric means, B over A: NFE 1,"
    )
    assert unpaired_lines(comparison) == ["1 cell failed in B: cell 2 · seed 0: ValueError: it broke | here"]
    lines = limit_lines(comparison)
    assert lines[0].startswith(f"fail-on {METRIC}:5%: cell 1 is worse on B: {METRIC}")
    assert lines[1:] == [
        f"fail-on {METRIC}:5%: broken by 1 of 2 cells",
        "fail-on: cell 2 · seed 0: ValueError: it broke | here failed in B",
    ]
