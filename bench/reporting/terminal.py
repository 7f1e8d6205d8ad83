"""The terminal writer: layouts, tables and the report of a run on a rich console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.reporting.layouts import Entry, TextTable, elsewhere_layout, list_layout, terminal_layout
from bench.reporting.summary import fits, notes, summary_layout
from bench.reporting.table import Table
from bench.reporting.text import make_printable

if TYPE_CHECKING:
    from rich.console import Console

    from bench.results.record import Record
    from bench.results.store import Store

WIDE = 120
"""Characters of a terminal from which a layout of several lines stands upright."""


def print_table(table: Table, console: Console) -> None:
    """Print a suite's table: heading, cells, notes, and where its files are."""
    print_line(table.heading, console, style="bold")
    print_layout(terminal_layout(table, console.width), console)
    for note in [table.excerpt_note] * bool(table.excerpt_note) + list(table.notes):
        print_line(note, console)
    print_elsewhere(table, console)
    if table.folder is not None:
        print_line(f"written to {table.folder}: {', '.join(table.files)}", console)
    console.print("")


def print_elsewhere(table: Table, console: Console) -> None:
    """Print the published figures of other checkpoints, if there are any, under a heading of their own."""
    if not table.elsewhere:
        return
    console.print("")
    print_line(table.elsewhere_heading, console, style="bold")
    print_layout(elsewhere_layout(table), console)
    for note in table.elsewhere_notes:
        print_line(note, console)


def print_published(table: Table, console: Console) -> None:
    """Print the published figures of a table's runs: of their own checkpoint, then of others."""
    cells = [cell for cell in table.cells if cell.published]
    if cells:
        print_line(f"Published beside {table.metric} on {table.checkpoint}", console, style="bold")
        print_layout(list_layout(table, cells), console)
    for note in table.published_notes:
        print_line(note, console)
    print_elsewhere(table, console)
    if table.published_of and not table.elsewhere:
        names = "; ".join(table.published_of)
        print_line(
            f"no published figure of {names} is of these samplers, grids and network calls: "
            "bench published lists all",
            console,
        )


def print_run_report(
    records: Sequence[Record], store: Store, console: Console, *, table: bool = True
) -> None:
    """Print the end of a run: the summary, failures with their logs, and where the results are.

    ``table`` is False for a suite, which has tables of its own.
    """
    if table:
        print_report(summary_layout(records), console)
    single = records[0] if len(records) == 1 else None
    for line in [*(fits(single.metrics) if table and single is not None else []), *notes(records)]:
        print_line(line, console)
    failed = [record for record in records if record.status == "failed"]
    for record in failed:
        markup = f"[red]failed[/] {_escape(record.label)}, log {_escape(record.log)}"
        console.print(markup, soft_wrap=True)
    print_line(f"{len(records) - len(failed)} finished, {len(failed)} failed", console)
    if single is not None:
        print_line(f"  record   {store.record_path(single.fingerprint)}", console)
        if single.preview:
            print_line(f"  preview  {single.preview}", console)
        folder = store.samples_folder(single.key)
        if folder.is_dir():
            print_line(f"  samples  {folder}", console)
    else:
        print_line(f"  records  {store.root / 'records'}, previews {store.root / 'images'}", console)
    print_line(f"  rows     {store.root / 'runs.csv'}", console)


def print_layout(layout: TextTable, console: Console) -> None:
    """Print a layout as a table; long entries fold."""
    from rich import box
    from rich.table import Table as RichTable

    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in layout.header:
        table.add_column(_escape(name), overflow="fold")
    for line in layout.lines:
        table.add_row(*(_markup(entry, terminal=console.is_terminal) for entry in line))
    console.print(table)


def print_report(layout: TextTable, console: Console) -> None:
    """Print a layout as a table, or each line as a table of names and entries where there is one line or
    little room."""
    from rich import box
    from rich.table import Table as RichTable

    if len(layout.lines) > 1 and console.width >= WIDE:
        print_layout(layout, console)
        return
    for line in layout.lines:
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
        for name, entry in zip(layout.header, line, strict=True):
            table.add_row(_escape(name), _markup(entry, terminal=console.is_terminal))
        console.print(table)


def print_line(text: str, console: Console, style: str | None = None) -> None:
    """Print a line that a narrow terminal wraps."""
    console.print(_escape(text), soft_wrap=True, style=style)


def _markup(entry: Entry, *, terminal: bool) -> str:
    if not terminal or not entry.best:
        return _escape(entry.plain)
    return f"[bold]{_escape(entry.core)}[/]{_escape(entry.suffix)}"


def _escape(text: str) -> str:
    """Text with names for a rich console: without markup and unprintable characters."""
    from rich.markup import escape

    return escape(make_printable(text))
