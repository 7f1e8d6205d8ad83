"""Errors that a user can act on: the command line prints their one line and exits with status 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """A mistake in what was asked for, or in what the machine offers; the message says what to do."""


class NotFiniteError(ArithmeticError):
    """Samples became NaN or infinite; ``where`` says at which step and in which part of it."""

    def __init__(self, where: str) -> None:
        super().__init__(f"samples became NaN or infinite {where}")
        self.where = where


class StoreError(OSError):
    """The results folder can't take in what was made (disk full, say); the run can't go on."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`` (did you mean X? known: X, Y)``, to be put behind "unknown ... NAME"."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f" ({hint}known: {', '.join(names) or 'none'})"
