"""`bench check` catches wrong plants, each by a check of the right kind."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.testing.plants.judge import cases, findings, is_mistake
from tests.testing.plants.misses import MISSES
from tests.testing.plants.sample import SAMPLE_WRONG
from tests.testing.plants.wrong import WRONG, Kind, Wrong


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "row" in metafunc.fixturenames:
        every = bool(metafunc.config.getoption("all_plants"))
        metafunc.parametrize("row", cases(WRONG, SAMPLE_WRONG, MISSES, every=every))


def test_a_wrong_plant_is_caught(row: Wrong) -> None:
    assert any(is_mistake(finding, row.kinds) for finding in findings(row.plant, row.law)), row.mistake


def test_every_miss_names_a_plant() -> None:
    assert {row.plant.name for row in WRONG} >= MISSES


def test_the_sample_is_of_every_kind() -> None:
    sample = [row for row in WRONG if row.plant.name in SAMPLE_WRONG]
    assert len(sample) == len(SAMPLE_WRONG) >= 36
    assert {kind for row in sample for kind in row.kinds} == set(get_args(Kind))
    assert not SAMPLE_WRONG & MISSES
