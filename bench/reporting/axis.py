"""The axis of values that may be zero or negative: linear around zero, decades outside."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from math import log10


def linear_width(spreads: Iterable[float | None]) -> float:
    """The half-width c of the linear part: the median spread of the values as the nearest power of ten.

    Args:
        spreads: What is drawn around each value; None where there is nothing.

    Returns:
        ``10 ** round(log10(median))``; 1 where no spread is known or the median is 0.
    """
    known = [spread for spread in spreads if spread is not None]
    middle = statistics.median(known) if known else 0.0
    return 10.0 ** round(log10(middle)) if middle > 0 else 1.0
