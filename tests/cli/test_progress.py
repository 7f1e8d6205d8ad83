"""What a run shows while it goes, where there is no terminal: plain lines with the time left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from bench.cli.progress import Progress


class Time:
    """A clock that is set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def cell(*, compiled: bool) -> Any:
    return SimpleNamespace(title="a cell", compile=compiled)


def test_the_time_left_leaves_out_loading_and_compiling(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """100 s until the first step, then 20 s a step: 3 steps of 5 in 2 batches leave 7."""
    clock = Time()
    monkeypatch.setattr("bench.cli.progress.time", clock)
    display = Progress()
    display.cell_started(cell(compiled=True), 0, 2)
    clock.now = 100
    for step in (1, 2, 3):
        display.step(0, step, 5, step)
        clock.now += 20
    display.batch_done(0)
    display.step(1, 1, 5, 1)
    assert [line.removeprefix("a cell · ") for line in capsys.readouterr().out.splitlines()] == [
        "loading and compiling",
        "batch 1 of 2 · step 1 of 5 · NFE 1",
        "batch 1 of 2 · step 2 of 5 · NFE 2 · 2 min 40 s left",
        "batch 1 of 2 · step 3 of 5 · NFE 3 · 2 min 20 s left",
        "batch 2 of 2 · step 1 of 5 · NFE 1 · 48 s left",
    ]


def test_what_is_at_work_before_the_first_step(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().cell_started(cell(compiled=False), 0, 1)
    Progress().cell_started(cell(compiled=True), 1, 1)
    assert capsys.readouterr().out.splitlines() == ["a cell · loading", "a cell · measuring"]
