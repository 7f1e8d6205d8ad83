"""Displays of progress: plain lines now and then, a bar on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.cli import bars
from bench.cli.bars import Display, Lines
from bench.events import Advance, Notice, RunWaiting, Working


def test_lines_come_now_and_then_and_not_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 1.0, 2.5, 3.0, 18.0, 19.0, 40.0, 41.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    lines = Lines()
    for done in (0, 10, 20, 30, 40, 50):
        lines(Advance("measuring them", done, 50, "images"))
    for done in (0, 5_000_000):
        lines(Advance("weights.pt", done, 12_000_000, "bytes"))
    assert capsys.readouterr().err.splitlines() == [
        "measuring them: 20 of 50 images",
        "measuring them: 40 of 50 images",
    ]


def test_bytes_are_megabytes_and_a_total_may_be_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bars, "SOON", 0.0)
    monkeypatch.setattr(bars, "PLAIN", 0.0)
    lines = Lines()
    for total in (12_000_000, 12_000_000, None):
        lines(Advance("weights.pt", 5_000_000, total, "bytes"))
    assert capsys.readouterr().err.splitlines() == [
        "fetching weights.pt: 5.0 of 12.0 MB",
        "fetching weights.pt: 5.0 MB",
    ]


def test_notices_are_lasting_lines_and_other_events_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines(Notice("out of the ordinary"))
    lines(Working("compiling"))
    lines(RunWaiting("0123", "a run"))
    assert capsys.readouterr().err.splitlines() == ["out of the ordinary", "compiling"]


def test_a_terminal_has_a_bar_that_goes_away() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, highlight=False, color_system=None)
    with Display(console) as display:
        display(Advance("measuring [them]", 0, 50, "images"))
        display(Notice("a [line]"))
        display(Advance("measuring [them]", 20, 50, "images"))
        display(Advance("weights.pt", 5_000_000, None, "bytes"))
        assert display._bar is not None
        display._bar.refresh()
    text = screen.getvalue()
    assert "a [line]" in text
    assert "fetching weights.pt" in text
    assert display._bar is None
