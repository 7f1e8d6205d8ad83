"""The console that commands print to."""

from __future__ import annotations

import json

import click
from rich.console import Console

from bench.errors import BenchError


def console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; without a terminal, wide enough that no line folds."""
    screen = Console(highlight=False, stderr=stderr)
    return screen if screen.is_terminal else Console(highlight=False, stderr=stderr, width=200)


def print_json(plain: object) -> None:
    """Print plain data as strict JSON on stdout; `BenchError` for NaN or infinity, which a
    bench.toml can hold."""
    try:
        text = json.dumps(plain, indent=1, allow_nan=False)
    except ValueError as error:
        raise BenchError(f"this can't be printed as JSON: {error}") from error
    click.echo(text)


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
