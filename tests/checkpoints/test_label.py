"""Labels of discrete scales: positions, and their inverse."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bench import IndexLabel, NoiseLevel
from tests.support.analytic import sde
from tests.support.plugins import installed

VP = sde("vp")


def label(name: str, **values: Any) -> IndexLabel:
    built: IndexLabel = installed().build("labels", name, values)
    return built


def on_grid(index: int, count: int) -> NoiseLevel:
    return dataclasses.replace(VP.at(0.5), index=index, count=count)


@pytest.mark.parametrize(
    ("name", "level", "number"),
    [
        ("index", on_grid(7, 1000), 7),
        ("index", on_grid(7, 2000), 3.5),
        ("index", VP.at(0.5), None),
        ("index_down", on_grid(7, 1000), 992),
        ("index_down", on_grid(7, 2000), 996),
        ("index_down", VP.at(0.3), 699),
        ("time_index", VP.at(0.3), 0.3 * 999),
    ],
)
def test_the_label_of_a_level(name: str, level: NoiseLevel, number: float | None) -> None:
    expected = None if number is None else pytest.approx(number, abs=1e-9)
    assert label(name).number(level, VP, 1000) == expected
    if number is not None:
        assert label(name, factor=0.5).number(level, VP, 1000) == pytest.approx(number / 2, abs=1e-9)


@pytest.mark.parametrize("name", ["index", "index_down", "time_index"])
def test_a_position_follows_from_its_label(name: str) -> None:
    for position in (0.0, 12.25, 3999.0):
        own = label(name, factor=3.0)
        assert own.position_of(own.of_position(position, 4000), 4000) == pytest.approx(position, abs=1e-9)


def test_other_numbers_of_scales_are_counted_in_thousandths() -> None:
    assert label("index").of_position(2000, 4000) == 500
    assert label("time_index").of_position(2000, 4000) == 2000
