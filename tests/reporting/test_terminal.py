"""Tables and reports on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from bench.reporting.layouts import Entry, TextTable
from bench.reporting.terminal import print_layout, print_report, print_run_report, print_table
from bench.results.store import Store
from tests.support.made_up import cell, failed_record, record, table


def console(*, terminal: bool = False, width: int = 200) -> tuple[Console, io.StringIO]:
    """A console that writes to a text."""
    text = io.StringIO()
    return Console(file=text, width=width, force_terminal=terminal, highlight=False), text


def test_the_best_is_bold_on_a_terminal_and_between_asterisks_elsewhere() -> None:
    layout = TextTable(("a",), ((Entry("[red]1", best=True, suffix=" (1 of 2)"),),))
    out, text = console()
    print_layout(layout, out)
    assert "*[red]1* (1 of 2)" in text.getvalue()
    out, text = console(terminal=True)
    print_layout(layout, out)
    assert "\x1b[1m[red]1\x1b[0m (1 of 2)" in text.getvalue()


def test_a_table_is_printed_with_its_notes_and_files() -> None:
    made_up = table(
        cell(),
        notes=("One seed.",),
        excerpt_note="Shown: all.",
        folder=Path("there"),
        files=("a.csv", "a.md"),
    )
    out, text = console()
    print_table(made_up, out)
    lines = [line.strip() for line in text.getvalue().splitlines()]
    assert lines[0] == made_up.heading
    assert lines[-4:] == ["Shown: all.", "One seed.", "written to there: a.csv, a.md", ""]


def test_a_report_lies_down_where_it_has_one_line() -> None:
    layout = TextTable(("name", "value"), ((Entry("n"), Entry("1")),))
    out, text = console()
    print_report(layout, out)
    assert [line.split() for line in text.getvalue().splitlines() if line.strip()] == [
        ["name", "n"],
        ["value", "1"],
    ]


def test_the_end_of_a_run_says_what_failed_and_where_the_results_are(tmp_path: Path) -> None:
    store = Store(tmp_path)
    out, text = console()
    print_run_report([record(0), failed_record(1)], store, out)
    assert "failed cell 1 · seed 0, log nowhere\n1 finished, 1 failed\n" in text.getvalue()
    assert f"records  {tmp_path / 'records'}" in text.getvalue()
    out, text = console()
    print_run_report([record(0, preview="there.png")], store, out, table=False)
    assert text.getvalue().splitlines()[:3] == [
        "1 finished, 0 failed",
        f"  record   {store.record_path(record(0).fingerprint)}",
        "  preview  there.png",
    ]
