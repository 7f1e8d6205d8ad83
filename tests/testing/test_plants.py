"""`bench check` catches every wrong plant by a check of the right kind, and passes every right one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from _pytest.mark import ParameterSet

from bench import Finding, Plugin
from bench.testing.kit import checks_of
from tests.support.plugins import installed
from tests.testing.plants.misses import FALSE_ALARMS, MISSES
from tests.testing.plants.right import RIGHT, Right
from tests.testing.plants.wrong import WRONG, Kind, Wrong

LIMITS = ("convergence", "uneven steps", "whole run", "RK45", "law", "at ", "finite")
CHECKS: dict[Kind, tuple[str, ...]] = {
    "answer": LIMITS,
    "order": (*LIMITS, "declared order"),
    "law": (*LIMITS, "invariance"),
    "end": (*LIMITS, "noise at the end", "mean without the noise"),
    "calls": ("network calls",),
    "level": ("network at the state's level", "time of a level"),
    "linear": ("linear",),
    "randomness": ("same seed, same bits", "no global random state"),
    "batch": ("batch",),
    "state": ("same seed, same bits", "next batch", "batch"),
    "input": ("input unchanged",),
    "chain": ("discrete chain",),
}
"""How the names of the checks of each kind begin."""


def findings(plant: type[Plugin], law: str) -> Iterator[Finding]:
    """The checks' results, one by one, so that a mistake found needs no further check."""
    for result in checks_of(plant(), installed(), (law,)):
        if isinstance(result, Finding):
            if result.name == "memory":
                return  # what it costs is right or wrong for none of them
            yield result


def is_mistake(finding: Finding, kinds: Sequence[Kind]) -> bool:
    """Whether a check of one of the kinds failed, and by what it measured: not by an exception."""
    names = tuple(name for kind in kinds for name in CHECKS[kind])
    return finding.status == "fail" and finding.required != "no error" and finding.name.startswith(names)


def cases(rows: Sequence[Wrong | Right], known: frozenset[str]) -> list[ParameterSet]:
    """The rows as cases, those that the kit does not get right yet marked."""
    xfail = pytest.mark.xfail(strict=True, raises=AssertionError)
    return [
        pytest.param(row, id=row.plant.name, marks=[xfail] if row.plant.name in known else []) for row in rows
    ]


@pytest.mark.parametrize("row", cases(WRONG, MISSES))
def test_a_wrong_plant_is_caught(row: Wrong) -> None:
    assert any(is_mistake(finding, row.kinds) for finding in findings(row.plant, row.law)), row.mistake


@pytest.mark.parametrize("row", cases(RIGHT, FALSE_ALARMS))
def test_a_right_plant_passes(row: Right) -> None:
    failures = [finding for finding in findings(row.plant, row.law) if finding.status == "fail"]
    assert not failures, [f"{one.name}: {one.measured} (required: {one.required})" for one in failures]


def test_every_miss_names_a_plant() -> None:
    assert {row.plant.name for row in WRONG} >= MISSES
    assert {row.plant.name for row in RIGHT} >= FALSE_ALARMS
