"""What `bench check` says of a plant, and which plants a session of tests judges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

from bench import Finding, Plugin
from bench.testing.kit import checks_of
from tests.support.plugins import installed
from tests.testing.plants.right import Right
from tests.testing.plants.wrong import Kind, Wrong

Row = TypeVar("Row", Right, Wrong)

LIMITS = (
    "convergence", "uneven steps", "other step counts", "one step", "whole run", "law", "at ", "finite",
    "shapes", "both ways", "as refined", "refined", "start in noise",
)  # fmt: skip
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
    "state": ("same seed, same bits", "next batch", "batch", "moved state"),
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


def cases(
    rows: Sequence[Row], sample: frozenset[str], known: frozenset[str], *, every: bool
) -> list[ParameterSet]:
    """The sample's rows, or every row, as cases; those that the kit does not get right yet are marked."""
    xfail = pytest.mark.xfail(strict=True, raises=AssertionError)
    return [
        pytest.param(row, id=row.plant.name, marks=[xfail] if row.plant.name in known else [])
        for row in rows
        if every or row.plant.name in sample
    ]
