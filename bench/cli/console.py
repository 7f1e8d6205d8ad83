"""What commands print with: a console, and lines of plain text. Names in them are escaped here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich.console import Console

from bench.errors import BenchError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console as wide as the terminal; without a terminal, wide enough that no line folds."""
    screen = Console(highlight=False, stderr=stderr, quiet=quiet)
    return screen if screen.is_terminal else Console(highlight=False, stderr=stderr, quiet=quiet, width=200)


def echo(line: object, *, err: bool = False) -> None:
    """Print one line, to stdout or stderr: its unprintable characters, line ends too, are escaped."""
    click.echo(printable(f"{line}", None), err=err)


def echo_lines(text: str, *, err: bool = False) -> None:
    """Print text of several lines, each as `echo` does."""
    for line in text.split("\n"):
        echo(line, err=err)


def echo_json(plain: Mapping[str, object] | Sequence[object]) -> None:
    """Print plain data as strict JSON, which escapes by itself; `BenchError` for NaN and infinity."""
    try:
        text = json.dumps(plain, indent=1, allow_nan=False)
    except ValueError as error:
        raise BenchError("a value is NaN or infinite, which JSON can't hold: leave out --json") from error
    click.echo(text)
