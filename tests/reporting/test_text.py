"""Numbers, counts and durations in words."""

from __future__ import annotations

import pytest

from bench.reporting.text import amount, count, duration, listed, number, percent


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.2594, 0.0213), "0.259 ± 0.021"),
        ((13.198, 0.35), "13.20 ± 0.35"),
        ((8258.3, 38.1), "8258 ± 38"),
        ((-0.0021, 0.004), "-0.0021 ± 0.0040"),
        ((1359000.0, 5010.0), "(1.3590 ± 0.0050)e6"),
        ((3.0, 0.0), "3.0000 ± 0.0000"),
        ((2000.0,), "2000"),
        ((None,), "–"),
    ],
)
def test_numbers_show_what_is_known(values: tuple[float | None, ...], text: str) -> None:
    assert number(*values) == text


def test_words() -> None:
    assert (percent(0.623), percent(None)) == ("62 %", "–")
    assert (count(1, "cell"), count(2, "cell")) == ("1 cell", "2 cells")
    assert (duration(8), duration(125), duration(12_000)) == ("8 s", "2 min 05 s", "3 h 20 min")
    assert listed({2, 1}) == "1, 2"


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, ""), (7, "7 B"), (999, "999 B"), (1000, "1 kB"), (5_841_848, "5.84 MB"), (2 * 10**9, "2 GB")],
)
def test_amounts(size: int | None, text: str) -> None:
    assert amount(size) == text
