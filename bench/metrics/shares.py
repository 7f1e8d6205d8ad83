"""Shares of samples, and how precisely the samples determine them."""

from __future__ import annotations

import math

from bench.errors import BenchError

Z = 1.959963984540054
"""The 97.5 % quantile of the standard normal."""


def wilson_interval(hits: int, n: int) -> dict[str, float]:
    """``(p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)``, the 95 % interval of a share.

    With p = hits / n. It keeps a width at p = 0 and p = 1, where the binomial error is zero.

    Args:
        hits: Number of samples that count.
        n: Number of samples.

    Returns:
        ``low`` and ``high``, for ``MetricResult.details["interval"]``.

    Raises:
        BenchError: There are no samples, or more hits than samples.

    Source: Wilson (1927).
    """
    if not 0 <= hits <= n or n < 1:
        raise BenchError(f"a share is of at least 1 sample and at most all, not {hits} of {n}")
    p, square = hits / n, Z**2 / n
    center, half = p + square / 2, Z * math.sqrt(p * (1 - p) / n + square / (4 * n))
    low, high = (center - half) / (1 + square), (center + half) / (1 + square)
    # the limits at the ends are exact, whatever rounding makes of them
    return {"low": low if hits else 0.0, "high": high if hits < n else 1.0}


def share_error(hits: int, n: int) -> float | None:
    """``sqrt(p (1 - p) / n)`` with p = hits / n, the standard error of a share.

    Args:
        hits: Number of samples that count.
        n: Number of samples, at least 1.

    Returns:
        The error; None at p = 0 and p = 1, where it would be zero and only an interval says something.
    """
    p = hits / n
    return math.sqrt(p * (1 - p) / n) if 0 < hits < n else None
