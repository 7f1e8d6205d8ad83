"""The conformance kit passes a sound solver and catches one that stops early."""

from __future__ import annotations

from bench import (
    assert_conforms,
)
from tests.support.checks import failures
from tests.support.plugins import installed
from tests.support.samplers import HeunSolver


class StopsEarly(HeunSolver):
    """Leaves out the last step."""

    name = "stops_early"
    short = 1


def test_a_sound_solver_passes() -> None:
    assert_conforms(HeunSolver, registry=installed(), sdes=("vp",))


def test_a_solver_that_stops_one_step_early_is_caught() -> None:
    assert "convergence, vp" in failures(StopsEarly)
