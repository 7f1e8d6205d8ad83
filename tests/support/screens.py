"""Consoles that write to a text, and a clock that is set by hand."""

from __future__ import annotations

import io

from rich.console import Console


class Time:
    """A clock that is set by hand."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def screen(*, terminal: bool, width: int = 200) -> tuple[Console, io.StringIO]:
    """A console that writes to a text."""
    text = io.StringIO()
    console = Console(
        file=text, width=width, highlight=False, force_terminal=terminal, color_system=None,
        legacy_windows=False,
    )  # fmt: skip
    return console, text
