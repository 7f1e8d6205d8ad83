"""What a run prints while it goes, where there is no terminal: plain lines with the time that remains."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.events import BatchDone, Event, Notice, RunDone, RunStarted, StepDone
from bench.reporting.progress import Display


class Time:
    """A clock that is set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def console() -> tuple[Console, io.StringIO]:
    """A console that writes to a text."""
    text = io.StringIO()
    return Console(file=text, width=200, highlight=False), text


def lines_of(*events: Event, runs: int = 1) -> list[str]:
    """What the display prints of these events."""
    out, text = console()
    display = Display(out, runs)
    for event in events:
        display(event)
    return text.getvalue().splitlines()


def test_the_remaining_time_leaves_out_loading_and_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 s until the first step, then 20 s a step: after 3 steps of 5 in 2 batches 7 remain."""
    clock = Time()
    monkeypatch.setattr("bench.reporting.progress.time", clock)
    out, text = console()
    display = Display(out)
    display(RunStarted("f", "a run", 0, 2, compile=True))
    clock.now = 100
    for step in (1, 2, 3):
        display(StepDone("f", 0, step, 5, step))
        clock.now += 20
    display(BatchDone("f", 0))
    display(StepDone("f", 1, 1, 5, 1))
    assert [line.removeprefix("a run · ") for line in text.getvalue().splitlines()] == [
        "loading and compiling",
        "batch 1 of 2 · step 1 of 5 · NFE 1",
        "batch 1 of 2 · step 2 of 5 · NFE 2 · 2 min 40 s left",
        "batch 1 of 2 · step 3 of 5 · NFE 3 · 2 min 20 s left",
        "batch 2 of 2 · step 1 of 5 · NFE 1 · 48 s left",
    ]


def test_the_phase_before_the_first_step_is_named() -> None:
    assert lines_of(RunStarted("f", "a run", 0, 1)) == ["a run · loading"]
    assert lines_of(RunStarted("f", "a run", 1, 1, compile=True)) == ["a run · measuring"]


def test_every_run_ends_in_a_lasting_line() -> None:
    lines = lines_of(
        RunDone("f", "one", "finished", cached=True, values={"fd": 1.23456}, nfe=10.0),
        RunDone("g", "two", "failed", cached=False, values={}, nfe=None, reason="ValueError: [odd]"),
        Notice("a file is damaged"),
    )
    assert lines == [
        "cached  one: fd 1.235, NFE 10",
        "failed  two: ValueError: [odd]",
        "notice  a file is damaged",
    ]


def test_a_plan_of_several_runs_counts_them() -> None:
    done = RunDone("f", "one", "finished", cached=False, values={}, nfe=None)
    assert lines_of(done, RunStarted("g", "two", 0, 1), runs=2)[1] == "run 2 of 2 · two · loading"


def _remains(*events: Event, runs: int = 1) -> str:
    display = Display(console()[0], runs)
    for event in events:
        display(event)
    return display.on_disk()


def test_an_interruption_claims_what_is_on_disk_and_nothing_else() -> None:
    start = RunStarted("f", "a", 0, 4, False)
    assert _remains() == ""
    assert _remains(start) == ""
    assert _remains(start, StepDone("f", 0, 9, 10, 9)) == ""
    assert _remains(start, BatchDone("f", 0)) == "1 of 4 batches of a is on disk"
    assert _remains(RunStarted("f", "a", 3, 4, False)) == "3 of 4 batches of a are on disk"
    done = RunDone("f", "a", "finished", False, {}, 1.0, "")
    other = RunStarted("g", "b", 1, 2, False)
    assert _remains(start, done, runs=3) == "1 of 3 runs is recorded"
    assert _remains(start, done, other, runs=3) == "1 of 3 runs is recorded, 1 of 2 batches of b is on disk"
    assert _remains(start, other, BatchDone("f", 0)) == "2 of 6 batches of 2 runs are on disk"
