"""Promises beyond runs from T to eps: broken ones are caught, kept ones pass, others are not asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from bench import BenchError, Plugin
from bench.testing.context import CheckContext
from bench.testing.promises import check_promises
from bench.testing.report import Finding
from tests.support.plugins import installed
from tests.support.samplers import Sound
from tests.testing.plants.right_solvers import BothWays, HeunOnItsGrid
from tests.testing.plants.right_steps import Ddim, FlowEuler, FurtherMoves, TwoStep
from tests.testing.plants.wrong_declared import (
    KeepsItsState,
    OnePartShort,
    OneWay,
    RefinedToAnother,
    RefinedToOne,
    StartsInNoise,
)
from tests.testing.plants.wrong_hidden import RefinedIsAnother


def promises(plant: type[Plugin]) -> Iterator[Finding]:
    """The findings on VP."""
    return check_promises(plant(), CheckContext(installed(), ("vp",)))  # type: ignore[arg-type]


class OfAnotherClass(Ddim):
    """Refined, it is its base class."""

    name = "of_another_class"

    def refine(self, steps: int) -> Ddim:  # type: ignore[override]
        return Ddim()


class NeverItself(FurtherMoves):
    """Never judged as it is by default."""

    name = "never_itself"

    def refine(self, steps: int) -> NeverItself:
        return dataclasses.replace(self, parts=2)


@pytest.mark.parametrize(
    ("mistaken", "name"),
    [
        (OneWay, "both ways"),
        (RefinedIsAnother, "as refined"),
        (StartsInNoise, "start in noise, flow"),
        (RefinedToOne, "refined"),
        (RefinedToAnother, "refined"),
        (OnePartShort, "refined"),
        (OfAnotherClass, "refined"),
        (NeverItself, "refined"),
        (KeepsItsState, "moved state"),
    ],
)
def test_a_broken_promise_is_caught(mistaken: type[Plugin], name: str) -> None:
    assert {one.name for one in promises(mistaken) if one.status == "fail"} == {name}


def test_a_kept_promise_passes() -> None:
    names = {one.name: one.status for one in promises(BothWays)}
    assert names["both ways"] == names["start in noise, flow"] == "pass"
    assert all(one.status == "pass" for one in promises(HeunOnItsGrid))
    assert all(one.status == "pass" for one in promises(FlowEuler))


class NotInOne(HeunOnItsGrid):
    """Its calls in one step are not known: the library raises."""

    name = "not_in_one"

    def nfe(self) -> int:
        if self.steps == 1:
            raise BenchError("it takes two steps or more")
        return super().nfe()


def test_a_number_of_steps_that_is_refused_is_left_out() -> None:
    assert all(one.status == "pass" for one in promises(NotInOne))


def test_further_moves_and_histories_pass() -> None:
    names = {one.name: one.status for plant in (FurtherMoves, TwoStep) for one in promises(plant)}
    assert names["refined"] == names["moved state"] == "pass"


@pytest.mark.parametrize("plant", [Ddim, Sound])
def test_what_promises_nothing_is_asked_nothing(plant: type[Plugin]) -> None:
    names = {one.name for one in promises(plant)}
    assert not names & {"both ways", "as refined", "refined", "moved state"}
