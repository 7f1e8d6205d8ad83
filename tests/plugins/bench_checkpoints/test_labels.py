"""Labels of networks that know every noise level, by their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench import NoiseLevel
from tests.support.analytic import sde
from tests.support.plugins import installed

LEVEL = NoiseLevel(0.25, 0.8, 0.6)
FORMULAS = {
    "t": 0.25,
    "999t": 249.75,
    "sigma": 0.6,
    "log_snr": math.log(0.64 / 0.36),
    "edm": math.log(0.6) / 4,
}


def number(name: str, level: NoiseLevel = LEVEL, law: str = "flow", **values: Any) -> float:
    result = installed().build("labels", name, values).number(level, sde(law), None)
    assert isinstance(result, float)
    return result


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula_and_its_factor(name: str) -> None:
    assert number(name) == pytest.approx(FORMULAS[name], rel=1e-14)
    assert number(name, factor=1000.0) == pytest.approx(1000 * FORMULAS[name], rel=1e-14)


def test_time_from_the_noise_on() -> None:
    assert number("t", reverse=True) == 0.75
    assert number("t", reverse=True, factor=10.0) == 7.5


def test_an_infinite_ratio_is_cut_where_sampling_ends() -> None:
    assert number("log_snr", sde("flow").at(1.0)) == pytest.approx(-2 * math.log(0.999 / 0.001))
