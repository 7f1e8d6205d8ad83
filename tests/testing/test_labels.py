"""The conformance kit passes the built-in labels and catches planted mistakes in others."""

from __future__ import annotations

import math

import pytest

from bench import SDE, IndexLabel, Label, NoiseLevel, assert_conforms
from tests.support.checks import failures
from tests.support.plugins import installed


@pytest.mark.parametrize("name", installed().names("labels"))
def test_the_built_in_ones_pass(name: str) -> None:
    assert_conforms(installed().build("labels", name, {}), registry=installed())


def test_one_that_counts_from_the_noise_passes() -> None:
    label = installed().build("labels", "t", {"reverse": True, "factor": 1000.0})
    assert_conforms(label, registry=installed())


class Right(Label):
    """``999 t``, which the mistaken ones are made of."""

    name = "right"
    published = {"vp": {1.0: 999.0, 0.5: 499.5}}

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return 999 * level.t


class OffByOne(Right):
    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return 999 * level.t + 1


class Thousand(Right):
    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return 1000 * level.t


class NoFactor(Right):
    def number(self, level: NoiseLevel, sde: SDE | None, scales: int | None) -> float | None:
        return self.value(level, sde)


class Truncated(Right):
    """An index where t is meant: levels share labels."""

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return float(int(99 * level.t))


class Bent(Label):
    """Up and down again."""

    name = "bent"

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return level.t * (1.5 - level.t)


class NoEnd(Label):
    """Infinite where alpha is 0."""

    name = "no_end"

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return math.log(level.sigma / level.alpha) if level.alpha else math.inf


class Whole(Right):
    """An int at one level."""

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return 0 if level.t == 1 else level.t - 1


class Drowned(Label):
    """A summand that leaves float32 no digits of t."""

    name = "drowned"

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return 1e6 + level.t


class RightIndex(IndexLabel):
    name = "right_index"

    def position(self, level: NoiseLevel, sde: SDE, scales: int) -> float | None:
        return min(max(sde.position(level.t, scales), 0.0), scales - 1.0)


class NextScale(RightIndex):
    """One scale too many."""

    def position(self, level: NoiseLevel, sde: SDE, scales: int) -> float | None:
        position = super().position(level, sde, scales)
        assert position is not None
        return position + 1


class Turned(RightIndex):
    """Counts down, with positions that count up."""

    def position(self, level: NoiseLevel, sde: SDE, scales: int) -> float | None:
        position = super().position(level, sde, scales)
        assert position is not None
        return scales - 1 - position


class NotInverse(RightIndex):
    """Labels from 1 on, read as labels from 0 on."""

    def of_position(self, position: float, scales: int) -> float:
        return self.factor * (position + 1)


class Forgetful(RightIndex):
    """Forgets its factor, both ways."""

    def of_position(self, position: float, scales: int) -> float:
        return position

    def position_of(self, number: float, scales: int) -> float:
        return number


class Silent(RightIndex):
    """No label for the levels of its own training."""

    def position(self, level: NoiseLevel, sde: SDE, scales: int) -> float | None:
        return None


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (OffByOne, {"published numbers"}),
        (Thousand, {"published numbers"}),
        (NoFactor, {"factor"}),
        (Truncated, {"order", "published numbers"}),
        (Bent, {"order"}),
        (NoEnd, {"numbers"}),
        (Whole, {"numbers", "published numbers"}),
        (Drowned, {"float32"}),
        (NextScale, {"positions"}),
        (Turned, {"positions"}),
        (NotInverse, {"inverse"}),
        (Forgetful, {"factor"}),
        (Silent, {"positions"}),
    ],
)
def test_a_mistaken_one_is_caught(mistaken: type[Label], caught: set[str]) -> None:
    assert failures(mistaken) == caught


@pytest.mark.parametrize("right", [Right, RightIndex])
def test_what_the_mistaken_ones_are_made_of_passes(right: type[Label]) -> None:
    assert failures(right) == set()
