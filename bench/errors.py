"""Errors that a user can act on: the command line prints their one line and exits with status 2."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class BenchError(Exception):
    """A request that can't be served, or a machine that can't serve it; one line says what to do."""


class NoValueError(BenchError):
    """A metric has no value for a run, such as a stochastic one where it measures deterministic samplers.

    `Metric.check_sampler` raises it. A suite then leaves the metric out of that run; another error of a
    metric stops the plan.
    """


class NotFiniteError(ArithmeticError):
    """Samples became NaN or infinite.

    Args:
        where: At which step, and in which part of it; the end of the message.
    """

    def __init__(self, where: str) -> None:
        super().__init__(f"samples became NaN or infinite {where}")
        self.where = where


class StoreError(OSError):
    """The results folder can't be written, on a full disk for example; the run can't go on."""


SHORT = 10
"""Greatest number of names that an error lists; beyond it, the error names the nearest and the command that
lists all."""


def did_you_mean(name: str, known: Iterable[str], listing: str = "") -> str:
    """`` (did you mean X? known: X, Y)``, to follow "unknown ... NAME".

    Args:
        name: The unknown name.
        known: The names that exist.
        listing: The command that lists all names. With it, more than `SHORT` names are not listed.

    Returns:
        The hint, with a space before it.
    """
    names = sorted(known)
    if not listing or len(names) <= SHORT:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return f" ({hint}known: {', '.join(names) or 'none'})"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    # the nearest, and others that are nearly as near
    near = [repr(other) for other in close if _similarity(name, other) > _similarity(name, close[0]) - 0.1]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f" ({hint}{listing} shows all)"


def _similarity(name: str, other: str) -> float:
    return difflib.SequenceMatcher(a=other, b=name).ratio()


def one_line(error: BaseException) -> str:
    """An error's message on one line, as a record can hold it.

    Args:
        error: Any error; a path in its message may hold bytes that are not UTF-8.

    Returns:
        The message, with such bytes escaped; that it can't be read, where the error's own ``__str__`` raises.
    """
    try:
        text = str(error)
    except Exception:
        text = "its message can't be read"
    return " ".join(text.split()).encode(errors="backslashreplace").decode()


def printable(text: str, most: int | None = 200) -> str:
    """Make text from a file fit for a terminal.

    Args:
        text: Any text: a name from a card, a message of a library.
        most: Greatest number of characters; None for no limit.

    Returns:
        The text on one line. Unprintable characters are escaped as in JSON. A longer text is cut and ends in
        an ellipsis.
    """
    cut = text if most is None or len(text) <= most else f"{text[: most - 1]}…"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in cut)


def first_problem(error: ValidationError, key: str = "") -> str:
    """The first thing that a validation rejects: ``key: message, not VALUE``, in one line.

    ``key``: what was validated, where the error does not know.
    """
    first = error.errors()[0]
    message = str(first["msg"])
    message = message[0].lower() + message[1:]
    where = printable(key or ".".join(str(part) for part in first["loc"]))
    if first["type"] not in ("missing", "extra_forbidden"):
        message += f", not {printable(repr(first['input']))}"
    return printable(f"{where}: {message}" if where else message, None)
