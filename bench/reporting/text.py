"""How numbers, counts and durations read in tables and messages."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bench.errors import printable


def number(mean: float | None, std: float | None = None) -> str:
    """``0.259 ± 0.021``: two digits of the spread decide; four significant digits without one."""
    if mean is None:
        return "–"
    if std is None:
        return f"{mean:.4g}"
    size = max(abs(mean), std)
    power = math.floor(math.log10(size)) if size > 0 else 0
    if power >= 5 or (power < -3 and size > 0):
        unit = 10.0**power
        return f"({number(mean / unit, std / unit)})e{power}"
    # two digits of the spread: 0.0213 gives 3 decimals
    digits = 4 if std == 0 else max(0, 1 - math.floor(math.log10(std)))
    return f"{mean:.{digits}f} ± {std:.{digits}f}"


def with_most(calls: str, most: float | None) -> str:
    """``97.25 (max 143)``: network calls per sample, with the greatest number of one where they differ."""
    return calls if most is None else f"{calls} (max {most:g})"


def percent(share: float | None) -> str:
    """``62 %``."""
    return "–" if share is None else f"{100 * share:.0f} %"


LIMIT = "limit at tolerance 0"
"""What stands beside the value of a solver whose exact value is not known, wherever it is shown."""
CONTINUED = "\n→ "
"""Where a layout breaks a long entry on purpose."""


def make_printable(text: str) -> str:
    """Text with names for any output: unprintable characters, line ends and bidirectional marks are escaped.

    The breaks of a layout (`CONTINUED`) stay.
    """
    return CONTINUED.join(printable(part, None) for part in text.split(CONTINUED))


def count(n: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def listed(values: Iterable[object]) -> str:
    """Sorted, with commas between."""
    return ", ".join(sorted(map(str, values)))


def dagger_note(label: str, note: str) -> str:
    """What the dagger at a metric's value means."""
    return f"† {label}: {note}: read it as a check that the run works, not as a measurement"


def duration(seconds: float) -> str:
    """``8 s``, ``2 min 05 s``, ``3 h 20 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    )


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
