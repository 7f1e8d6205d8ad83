"""The width of an axis's linear part, by hand."""

from __future__ import annotations

import pytest

from bench.reporting.axis import linear_width


@pytest.mark.parametrize(
    ("spreads", "width"),
    [
        ([0.1], 0.1),
        ([0.02, 0.2, 5.0], 0.1),
        ([0.4], 1.0),
        ([None, 3e-4, None], 1e-4 * 10 ** round(0.477)),
        ([], 1.0),
        ([None], 1.0),
        ([0.0, 0.0], 1.0),
    ],
)
def test_the_width_is_the_power_of_ten_next_to_the_median(spreads: list[float | None], width: float) -> None:
    assert linear_width(spreads) == pytest.approx(width)
