"""The display of an installation."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.cli.fetching import Fetching
from bench.events import Advance, Notice, Working


def display(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> tuple[Fetching, io.StringIO]:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100, highlight=False)
    monkeypatch.setattr("bench.cli.fetching.console", lambda: console)
    return Fetching(), screen


def test_plain_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, screen = display(monkeypatch, terminal=False)
    with progress:
        for done in (0, 100, 200):
            progress(Advance("a.bin", done, 3000, "bytes"))
        progress(Advance("b.bin", 10, None, "bytes"))
        progress(Notice("[b]cut[/b]; trying again"))
    assert screen.getvalue().splitlines() == [
        "fetching a.bin: 0 B of 3 kB",
        "fetching b.bin: 10 B",
        "notice  [b]cut[/b]; trying again",
    ]


def test_a_drawing_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, screen = display(monkeypatch, terminal=True)
    with progress:
        progress(Advance("a.bin", 1500, 3000, "bytes"))
        progress(Working("reading a"))
        assert progress.drawing is not None
        progress.clear()
        assert progress.drawing is None
    assert "a.bin" in screen.getvalue()
    assert "reading a" in screen.getvalue()
