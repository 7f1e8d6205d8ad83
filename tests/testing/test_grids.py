"""The conformance kit passes the built-in grids and catches planted mistakes in others."""

from __future__ import annotations

import numpy as np
import pytest

from bench import SDE, Array, BenchError, Grid, assert_conforms
from tests.support.checks import failures, report
from tests.support.plugins import installed


class Rising(Grid):
    """From eps up."""

    name = "rising"

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.eps, sde.end, steps)


class Short(Grid):
    """One time too few."""

    name = "short"

    def times(self, sde: SDE, steps: int) -> Array:
        return np.linspace(sde.end, sde.eps, steps)[:-1]


class Restless(Grid):
    """Another grid each time."""

    name = "restless"

    def times(self, sde: SDE, steps: int) -> Array:
        inner = np.sort(np.random.default_rng().uniform(sde.eps, sde.end, max(steps - 2, 0)))[::-1]
        return np.array([sde.end, *inner, sde.eps][:steps])


class Never(Grid):
    """Refuses everything."""

    name = "never"

    def times(self, sde: SDE, steps: int) -> Array:
        raise BenchError("not today")


@pytest.mark.parametrize("name", [name for name in installed().names("grids") if name != "sigmas"])
def test_the_built_in_grids_pass(name: str) -> None:
    assert_conforms(name, registry=installed())


def test_a_list_of_levels_is_checked_at_its_own_number_of_steps() -> None:
    result = report("sigmas", sdes=("ve",), levels="50,1,0.1")
    assert result.passed
    (times,) = (finding for finding in result.findings if finding.name == "times")
    assert times.measured.startswith("1 of its grids on ve; ")


@pytest.mark.parametrize("mistaken", [Rising, Short, Restless, Never])
def test_a_mistaken_grid_is_caught(mistaken: type[Grid]) -> None:
    assert failures(mistaken) == {"times"}
