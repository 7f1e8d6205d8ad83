"""What an installation shows: a bar on a terminal, plain lines elsewhere."""

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
from bench.download import Listener
from bench.errors import printable

PLAIN = 15.0
"""Seconds between plain lines."""

PATIENCE = 2.0
"""Seconds after which a plain line says what is at work."""


class Fetching(Listener):
    """Listener that draws; `done` takes the drawing away, for what is printed past it."""

    def __init__(self) -> None:
        self.console = console()
        self.drawn: Progress | Status | None = None
        self.file, self.said = "", 0.0
        self.timer: threading.Timer | None = None
        self.begun: float | None = None

    def __enter__(self) -> Fetching:
        return self

    def __exit__(self, *exc: object) -> None:
        self.done()

    def at(self, file: str, done: int, total: int | None) -> None:
        if not self.console.is_terminal:
            self._plain(file, done, total)
            return
        if file != self.file or not isinstance(self.drawn, Progress):
            self.done()
            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            name = TextColumn("{task.description}")
            self.drawn = Progress(name, *columns, console=self.console, transient=True)
            self.drawn.add_task(escape(printable(file)), total=total, completed=done)
            self.drawn.start()
            self.file = file
        self.drawn.update(self.drawn.task_ids[0], completed=done, total=total)

    def working(self, text: str) -> None:
        shown = escape(printable(text))
        if self.console.is_terminal:
            self.done()
            self.drawn = self.console.status(shown)
            self.drawn.start()
            return
        now = time.monotonic()
        begun = now if self.begun is None else self.begun
        self.done()
        self.begun = begun
        self.timer = threading.Timer(max(0.0, begun + PATIENCE - now), self._late, (shown,))
        self.timer.daemon = True
        self.timer.start()

    def notice(self, text: str) -> None:
        self.console.print(f"[yellow]notice[/]  {escape(printable(text, None))}", soft_wrap=True)

    def done(self) -> None:
        """Nothing is at work."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.begun = None
        if self.drawn is not None:
            self.drawn.stop()
            self.drawn = None

    def _late(self, text: str) -> None:
        """What has been at work for long is said, and not before as long again what comes after it."""
        self.begun = time.monotonic()
        self.console.print(f"{text} …", soft_wrap=True)

    def _plain(self, file: str, done: int, total: int | None) -> None:
        self.done()
        now = time.monotonic()
        if file == self.file and now - self.said < PLAIN:
            return
        self.file, self.said = file, now
        of = f" of {amount(total)}" if total is not None else ""
        self.console.print(escape(f"fetching {printable(file)}: {amount(done)}{of}"), soft_wrap=True)
