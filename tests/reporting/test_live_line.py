"""The live line: a bar where the total is known, speed of downloads, the time that is left."""

from __future__ import annotations

import pytest

from bench.reporting.live_line import live_line
from tests.support.screens import screen


@pytest.mark.parametrize(
    ("total", "speed", "end"),
    [(400, True, "20 B/s, 10 s left"), (400, False, "10 s left"), (None, True, "20 B/s"), (200, True, "")],
)
def test_speed_and_time(total: float | None, speed: bool, end: str) -> None:
    console, text = screen(terminal=True, width=100)
    now = 0.0
    line = live_line(console)
    line.get_time = lambda: now
    task = line.add_task("a [b]", total=None, amount="some", speed=speed)
    line.tasks[0].total = total
    for now in (0.0, 5.0, 10.0):
        line.update(task, completed=20 * now)
    console.print(line.get_renderable())
    row = text.getvalue().strip()
    assert "a [b]" in row
    assert "some" in row
    assert ("━" in row) == (total is not None)
    assert row.endswith(end or "some")
