"""The console that commands print to."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    """A console as wide as the terminal; without a terminal, wide enough that no line folds."""
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=200)


def amount(size: int | None) -> str:
    """A size as text, such as ``312 B`` or ``5.8 MB``; empty where it is unknown."""
    if size is None:
        return ""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.0f} B" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"
