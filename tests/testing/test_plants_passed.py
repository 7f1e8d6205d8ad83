"""`bench check` passes right plants."""

from __future__ import annotations

import pytest

from tests.testing.plants.judge import cases, findings
from tests.testing.plants.misses import FALSE_ALARMS
from tests.testing.plants.right import RIGHT, Right
from tests.testing.plants.sample import SAMPLE_RIGHT


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "row" in metafunc.fixturenames:
        every = bool(metafunc.config.getoption("all_plants"))
        metafunc.parametrize("row", cases(RIGHT, SAMPLE_RIGHT, FALSE_ALARMS, every=every))


def test_a_right_plant_passes(row: Right) -> None:
    failures = [finding for finding in findings(row.plant, row.law) if finding.status == "fail"]
    assert not failures, [f"{one.name}: {one.measured} (required: {one.required})" for one in failures]


def test_every_false_alarm_names_a_plant() -> None:
    assert {row.plant.name for row in RIGHT} >= FALSE_ALARMS


def test_the_sample_is_of_different_kinds() -> None:
    sample = [row for row in RIGHT if row.plant.name in SAMPLE_RIGHT]
    assert len({row.kind for row in sample}) == len(SAMPLE_RIGHT) >= 22
    assert not SAMPLE_RIGHT & FALSE_ALARMS
