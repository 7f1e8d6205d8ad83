"""The live line of a terminal: a spinner and a text; where there is a count, also bar, speed and time."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress_bar import ProgressBar
from rich.table import Column
from rich.text import Text

from bench.reporting.text import amount, duration


def live_line(console: Console) -> Progress:
    """A line that disappears when it is stopped; its task has the fields ``amount`` and ``speed``.

    Text that is too long for the terminal is cut, so that the line stays one.
    """

    def whole() -> Column:
        return Column(no_wrap=True, overflow="ellipsis")

    text = TextColumn("{task.description}", markup=False, table_column=whole())
    count = TextColumn("{task.fields[amount]}", markup=False, table_column=whole())
    columns = (SpinnerColumn(), text, _Bar(), count, _Pace(table_column=whole()))
    return Progress(*columns, console=console, transient=True)


class _Bar(ProgressColumn):
    """A bar, where the total is known."""

    def render(self, task: Task) -> RenderableType:
        if task.total is None:
            return Text("")
        return ProgressBar(total=max(task.total, 1), completed=task.completed, width=16)


class _Pace(ProgressColumn):
    """Bytes per second of a download, and the time that is left of any count."""

    def render(self, task: Task) -> Text:
        speed = task.speed if task.total != task.completed else None
        parts = [f"{amount(round(speed))}/s"] if task.fields["speed"] and speed else []
        if task.time_remaining and speed:
            parts.append(f"{duration(task.time_remaining)} left")
        return Text(", ".join(parts))
