"""The terminal writer of comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reporting.compare.comparison import Comparison
from bench.reporting.compare.layout import (
    comparison_layout,
    limit_lines,
    side_lines,
    summary_line,
    unpaired_lines,
)
from bench.reporting.terminal import print_line, print_report

if TYPE_CHECKING:
    from rich.console import Console


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print both sides, the rows, and what is to be known of them."""
    for line in side_lines(comparison):
        print_line(line, console)
    print_report(comparison_layout(comparison), console)
    lines = [summary_line(comparison), *comparison.remarks]
    for line in [*lines, *unpaired_lines(comparison), *limit_lines(comparison)]:
        print_line(line, console)
