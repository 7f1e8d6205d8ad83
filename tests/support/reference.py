"""The committed results, read for the tests that hold texts to them."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from functools import cache

from tests.support.pages import page_says
from tests.support.paths import ROOT

REFERENCE = ROOT / "results" / "reference"

Row = dict[str, str]
Place = tuple[str, str, str]


def says(text: str) -> bool:
    """Whether results/README.md says it."""
    return page_says("results/README.md", text)


@cache
def read(name: str) -> tuple[Row, ...]:
    """The rows of a committed CSV."""
    with (REFERENCE / name).open(newline="") as handle:
        return tuple(csv.DictReader(handle))


@cache
def cells(name: str) -> dict[Place, list[Row]]:
    """The finished rows of a cells.csv by SDE, row and column: one per seed."""
    by_place: dict[Place, list[Row]] = defaultdict(list)
    for row in read(f"{name}/cells.csv"):
        if row["status"] == "finished":
            by_place[row["sde"], row["row"], row["column"]].append(row)
    return by_place


def mean(rows: list[Row], field: str = "value") -> float:
    """The mean over seeds."""
    return math.fsum(float(row[field]) for row in rows) / len(rows)


def errors_off(rows: list[Row]) -> float:
    """Distance of a cell's mean to its value by theory, in the mean's standard errors."""
    error = math.sqrt(math.fsum(float(row["error"]) ** 2 for row in rows)) / len(rows)
    return abs(mean(rows) - float(rows[0]["exact"])) / error


def range_of(values: list[float], digits: int = 1) -> str:
    """``LEAST to GREATEST``."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"
