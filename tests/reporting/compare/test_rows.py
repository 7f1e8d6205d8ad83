"""Rows of a comparison: which of them have a percentage."""

from __future__ import annotations

from typing import Any

import pytest

from bench import BenchError
from bench.reporting.compare.comparison import metric_rows
from bench.reporting.compare.limits import Limit
from bench.reporting.compare.pairing import Pair, RunValue
from bench.reporting.compare.rows import Row
from tests.support.compared import BATCHES, near, row, run


@pytest.mark.parametrize("kind", ["estimate", "share", "score", ""])
def test_a_percentage_is_of_a_distance_or_a_cost_alone(kind: str) -> None:
    a, b = [10.0, 10.0, 10.0], [11.0, 11.2, 10.8]
    assert row(a, b).relative == near(0.1)
    other = row(a, b, kind=kind)
    assert other.relative is None
    with pytest.raises(
        BenchError, match=r"^--fail-on fd:5%: no percentage of fd .*, such as --fail-on fd:0.5$"
    ):
        Limit.parse("fd:5%").check([other])
    Limit.parse("fd:0.5").check([other])
    Limit.parse("fd:5%").check([row(a, b)])
    (calls,) = metric_rows([Pair((run("em", 0),), (run("em", 0, nfe=25.0),))], "nfe")
    assert calls.relative == near(0.25)


def test_there_is_no_percentage_of_a_distance_within_its_error_of_zero() -> None:
    def one(value: float, **changes: Any) -> Row:
        fields = {"fd": RunValue(value, "lower", "distance", **changes)}
        pair = Pair((run("em", 0, values=fields, batches=BATCHES),), (run("em", 0, 2.0),))
        return metric_rows([pair], "fd")[0]

    assert one(0.30, error=0.15).relative == near(1.7 / 0.30)
    assert one(0.29, error=0.15).relative is None  # below 1.96 standard errors
    assert one(1.0, without=(1.0, 1.1, 0.9)).relative == near(1.0)
    assert one(0.1, without=(1.0, -0.5, 0.2)).relative is None
    assert one(-0.09).relative is None
    assert one(0.0).relative is None
    assert row([3.0, 0.2], [1.0, 1.0]).relative is None
    with pytest.raises(BenchError, match="A's value lies within its error of zero; give an absolute amount"):
        Limit.parse("fd:5%").check([one(0.29, error=0.15)])
