"""The terminal writer: layouts and tables on a rich console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reporting.layouts import Entry, Layout, terminal_layout
from bench.reporting.table import Table

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 120
"""Characters of a terminal from which a layout of several lines stands upright."""


def print_table(table: Table, console: Console) -> None:
    """Print a suite's table: heading, cells, notes, and where its files are."""
    print_line(table.heading, console, style="bold")
    print_layout(terminal_layout(table, console.width), console)
    for note in [table.excerpt_note] * bool(table.excerpt_note) + list(table.notes):
        print_line(note, console)
    if table.folder is not None:
        print_line(f"written to {table.folder}: {', '.join(table.files)}", console)
    console.print("")


def print_layout(layout: Layout, console: Console) -> None:
    """Print a layout as a table; long entries fold."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable

    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in layout.header:
        table.add_column(escape(name), overflow="fold")
    for line in layout.lines:
        table.add_row(*(_markup(entry, terminal=console.is_terminal) for entry in line))
    console.print(table)


def print_report(layout: Layout, console: Console) -> None:
    """Print a layout as a table, or each line as a table of names and entries where there is one line or
    little room."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable

    if len(layout.lines) > 1 and console.width >= WIDE:
        print_layout(layout, console)
        return
    for line in layout.lines:
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
        for name, entry in zip(layout.header, line, strict=True):
            table.add_row(escape(name), _markup(entry, terminal=console.is_terminal))
        console.print(table)


def print_line(text: str, console: Console, style: str | None = None) -> None:
    """Print a line that a narrow terminal wraps."""
    from rich.markup import escape

    console.print(escape(text), soft_wrap=True, style=style)


def _markup(entry: Entry, *, terminal: bool) -> str:
    from rich.markup import escape

    if not terminal or not entry.best:
        return escape(entry.plain)
    return f"[bold]{escape(entry.core)}[/]{escape(entry.suffix)}"
