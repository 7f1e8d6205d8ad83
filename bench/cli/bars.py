"""Progress of reading images and of downloads on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from bench.errors import printable
from bench.events import Advance, Event, Notice, Working

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

SOON, PLAIN = 2.0, 15.0
"""Seconds before the first plain line of a phase, and between plain lines."""


class Lines:
    """A display of plain lines: notices, and the progress of phases at intervals."""

    def __init__(self) -> None:
        self._phase, self._next = "", 0.0

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Notice | Working):
            self.line(event.text)
        elif isinstance(event, Advance):
            self.advance(event)

    def advance(self, event: Advance) -> None:
        """Show the progress of a phase."""
        now = time.monotonic()
        if event.phase != self._phase:
            self._phase, self._next = event.phase, now + SOON
        elif now >= self._next and event.done != event.total:
            self._next = now + PLAIN
            self.line(f"{_title(event)}: {_amount(event)}")

    def line(self, text: str) -> None:
        """Print a lasting line."""
        click.echo(printable(text, None), err=True)


def _title(event: Advance) -> str:
    # a download's phase is the name of its file
    return f"fetching {event.phase}" if event.unit == "bytes" else event.phase


def _amount(event: Advance) -> str:
    if event.unit == "bytes":
        total = f" of {event.total / 1e6:.1f}" if event.total is not None else ""
        return f"{event.done / 1e6:.1f}{total} MB"
    total = f" of {event.total}" if event.total is not None else ""
    return f"{event.done}{total} {event.unit}"


class Display(Lines):
    """As `Lines`, with a bar for the current phase on a terminal, removed at the end.

    Args:
        console: Console to draw on; default: one on stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False) if console is None else console
        self._bar: Progress | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def advance(self, event: Advance) -> None:
        if not self.console.is_terminal:
            super().advance(event)
            return
        from rich.markup import escape

        bar = self._progress_bar()
        (task,) = bar.task_ids
        if event.phase != self._phase:
            self._phase = event.phase
            bar.reset(task, total=event.total, description=escape(printable(_title(event))))
        bar.update(task, completed=event.done, amount=_amount(event))

    def _progress_bar(self) -> Progress:
        if self._bar is None:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            description, amount = TextColumn("{task.description}"), TextColumn("{task.fields[amount]}")
            columns = (description, BarColumn(), amount, TimeRemainingColumn())
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._bar.add_task("", total=None, amount="")
            self._bar.start()
        return self._bar

    def line(self, text: str) -> None:
        self.console.print(printable(text, None), markup=False, soft_wrap=True)
