"""Limits: by how much B may be worse than A, and what to write where a percentage has no meaning."""

from __future__ import annotations

import pytest

from bench import BenchError
from bench.reporting.compare.limits import Limit
from tests.support.compared import row


def test_limits() -> None:
    worse, noisy = row([10.0, 10.0], [11.0, 11.01]), row([10.0, 10.0], [10.1, 13.0])
    assert [Limit.parse(f"fd:{x}").broken_by(worse) for x in ("5%", "10%", "11%", "1", "1.1", "0")] == [
        True, True, False, True, False, True,
    ]  # fmt: skip
    assert not Limit.parse("fd:1").broken_by(row([10.0, 10.0], [11.0, 11.0]))
    assert not Limit.parse("fd:5%").broken_by(noisy)
    assert not Limit.parse("fd:0").broken_by(row([11.0, 11.01], [10.0, 10.0]))
    assert Limit.parse("fd:5%").broken_by(row([11.0, 11.01], [10.0, 10.0], "higher"))
    assert Limit.parse("fd:5%").broken_by(row([1.0], [1.2]))
    assert Limit.parse("fd:0.5").broken_by(row([0.0, 0.0], [1.0, 1.01]))


@pytest.mark.parametrize("text", ["fd", "fd:", ":5%", "fd:five%", "fd:-1", "fd:nan", "fd:inf", "fd:5%%"])
def test_a_limit_that_can_not_be_read(text: str) -> None:
    with pytest.raises(BenchError, match="--fail-on takes METRIC:X or METRIC:X%"):
        Limit.parse(text)


@pytest.mark.parametrize(
    ("a", "b", "amount"),
    [([2.0, 2.0], [1.0, 1.0], "0.1"), ([0.0, 0.0], [4.0, 4.0], "0.2"), ([0.0], [0.0], "0")],
)
def test_the_amount_that_is_advised_can_be_typed(a: list[float], b: list[float], amount: str) -> None:
    """5 % of A; of B where A is 0; nothing at all where both are."""
    with pytest.raises(BenchError, match=rf"such as --fail-on fd:{amount}$") as caught:
        Limit.parse("fd:5%").check([row(a, b, kind="estimate")])
    assert Limit.parse(str(caught.value).split()[-1]).amount == float(amount)
