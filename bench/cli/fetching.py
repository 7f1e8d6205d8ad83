"""The display of an installation: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time

from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.status import Status

from bench.cli.console import amount, console
from bench.errors import printable
from bench.events import Advance, Event, Notice, Working

PLAIN = 15.0
"""Seconds between plain lines."""

PATIENCE = 2.0
"""Seconds after which a plain line reports the current work."""


class Fetching:
    """Shows the events of an installation; `clear` removes the display before other output is printed."""

    def __init__(self) -> None:
        self.console = console()
        self.drawing: Progress | Status | None = None
        self.file, self.last_line = "", 0.0
        self.timer: threading.Timer | None = None
        self.waiting_since: float | None = None

    def __enter__(self) -> Fetching:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def __call__(self, event: Event) -> None:
        """Show an event; events that no installation emits are ignored."""
        if isinstance(event, Advance):
            self._advance(event.phase, event.done, event.total)
        elif isinstance(event, Working):
            self._working(event.text)
        elif isinstance(event, Notice):
            self.console.print(f"[yellow]notice[/]  {escape(printable(event.text, None))}", soft_wrap=True)

    def clear(self) -> None:
        """Remove the display."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.waiting_since = None
        if self.drawing is not None:
            self.drawing.stop()
            self.drawing = None

    def _advance(self, file: str, done: int, total: int | None) -> None:
        if not self.console.is_terminal:
            self._plain_line(file, done, total)
            return
        if file != self.file or not isinstance(self.drawing, Progress):
            self.clear()
            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            name = TextColumn("{task.description}")
            self.drawing = Progress(name, *columns, console=self.console, transient=True)
            self.drawing.add_task(escape(printable(file)), total=total, completed=done)
            self.drawing.start()
            self.file = file
        self.drawing.update(self.drawing.task_ids[0], completed=done, total=total)

    def _working(self, text: str) -> None:
        line = escape(printable(text))
        if self.console.is_terminal:
            self.clear()
            self.drawing = self.console.status(line)
            self.drawing.start()
            return
        now = time.monotonic()
        since = now if self.waiting_since is None else self.waiting_since
        self.clear()
        self.waiting_since = since
        self.timer = threading.Timer(max(0.0, since + PATIENCE - now), self._late_line, (line,))
        self.timer.daemon = True
        self.timer.start()

    def _late_line(self, text: str) -> None:
        """Report work that takes long; the next such line waits as long again."""
        self.waiting_since = time.monotonic()
        self.console.print(f"{text} …", soft_wrap=True)

    def _plain_line(self, file: str, done: int, total: int | None) -> None:
        self.clear()
        now = time.monotonic()
        if file == self.file and now - self.last_line < PLAIN:
            return
        self.file, self.last_line = file, now
        of = f" of {amount(total)}" if total is not None else ""
        self.console.print(escape(f"fetching {printable(file)}: {amount(done)}{of}"), soft_wrap=True)
