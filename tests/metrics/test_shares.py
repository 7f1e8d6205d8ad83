"""Shares and their intervals."""

from __future__ import annotations

import math

import pytest

from bench import BenchError, share_error, wilson_interval

Z = 1.959963984540054


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_limits_are_the_roots_of_the_score_equation(n: int) -> None:
    """At both limits q, ``(p - q)^2 = z^2 q (1 - q) / n``."""
    for hits in range(0, n + 1, max(n // 5, 1)):
        p, interval = hits / n, wilson_interval(hits, n)
        for q in interval.values():
            assert (p - q) ** 2 == pytest.approx(Z**2 * q * (1 - q) / n, rel=1e-9, abs=1e-15)
        assert 0 <= interval["low"] <= p <= interval["high"] <= 1
        assert interval["high"] - interval["low"] > 0


def test_all_and_none_have_a_width_and_no_error() -> None:
    low = 1000 / (1000 + Z**2)
    assert wilson_interval(1000, 1000) == {"low": pytest.approx(low, rel=1e-12), "high": 1.0}
    assert wilson_interval(0, 1000) == {"low": 0.0, "high": pytest.approx(1 - low, rel=1e-9)}
    assert share_error(1000, 1000) is share_error(0, 1000) is None
    assert share_error(250, 1000) == math.sqrt(0.25 * 0.75 / 1000)


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_share_is_refused(hits: int, n: int) -> None:
    with pytest.raises(BenchError, match="a share is of at least 1 sample"):
        wilson_interval(hits, n)
