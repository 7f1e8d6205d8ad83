"""The wrong plants are wrong, each by a number that does not come from the kit, and their twins are right."""

from __future__ import annotations

import pytest

from bench import Plugin
from tests.testing.plants.right import RIGHT
from tests.testing.plants.wrong import WRONG, Wrong


@pytest.mark.parametrize("row", WRONG, ids=[row.plant.name for row in WRONG])
def test_a_number_shows_the_mistake(row: Wrong) -> None:
    plant, twin = row.plant.build(row.values), row.twin.build(_known(row.twin, row))
    assert row.evidence(plant, twin, **row.scene) > row.least


@pytest.mark.parametrize("row", WRONG, ids=[row.plant.name for row in WRONG])
def test_the_same_number_of_its_twin_shows_none(row: Wrong) -> None:
    twin = row.twin.build(_known(row.twin, row))
    assert row.evidence(twin, twin, **row.scene) < row.least / 2


def _known(plant: type[Plugin], row: Wrong) -> dict[str, object]:
    """The row's values of parameters that the plant has."""
    names = {parameter.name for parameter in plant.parameters()}
    return {name: value for name, value in row.values.items() if name in names}


def test_the_sets_are_large_and_of_distinct_names() -> None:
    assert len(WRONG) >= 36
    assert len(RIGHT) >= 24
    names = [row.plant.name for row in WRONG] + [row.plant.name for row in RIGHT]
    assert len(set(names)) == len(names)


def test_twins_are_right() -> None:
    assert {row.twin for row in WRONG} <= {row.plant for row in RIGHT}
