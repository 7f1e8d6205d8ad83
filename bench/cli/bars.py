"""What reading images shows, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextvars import Token
from typing import TYPE_CHECKING

import click

from bench.metrics.reference import Watch, watching

if TYPE_CHECKING:
    from rich.progress import Progress

SOON, PLAIN = 2.0, 15.0
"""Seconds until the first plain line, and between plain lines."""


class Lines:
    """A `Watch` that says a line now and then."""

    def __init__(self) -> None:
        self.doing, self.next = "", 0.0

    def __call__(self, doing: str, done: int, of: int) -> None:
        now = time.monotonic()
        if doing != self.doing:
            self.doing, self.next = doing, now + SOON
        elif now >= self.next and done < of:
            self.next = now + PLAIN
            self.line(f"{doing}: {done} of {of} images")

    def line(self, text: str) -> None:
        """A lasting line."""
        click.echo(text, err=True)


class Bars(Lines):
    """As `Lines`, and on a terminal a bar. Entered, it is told of references that are measured, too."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self.drawn: Progress | None = None
        self._before: Token[Watch] | None = None

    def __enter__(self) -> Bars:
        self._before = watching.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.drawn is not None:
            self.drawn.stop()
            self.drawn = None
        if self._before is not None:
            watching.reset(self._before)
            self._before = None

    def __call__(self, doing: str, done: int, of: int) -> None:
        if not self.console.is_terminal:
            super().__call__(doing, done, of)
            return
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self.drawn is None:
            what = TextColumn("{task.description}")
            columns = (what, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.drawn = Progress(*columns, console=self.console, transient=True)
            self.drawn.add_task("", total=of)
            self.drawn.start()
        (task,) = self.drawn.task_ids
        if doing != self.doing:
            self.doing = doing
            self.drawn.reset(task, total=of, description=escape(doing))
        self.drawn.update(task, completed=done)

    def line(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)
