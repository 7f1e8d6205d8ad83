"""The conformance kit measures the order of multistep methods and catches an index off by one."""

from __future__ import annotations

import pytest

from bench import (
    Predictor,
    assert_conforms,
)
from tests.support.checks import failures
from tests.support.plugins import installed
from tests.support.samplers import AdamsBashforth


class ShiftedHistory(AdamsBashforth):
    """The past slope is taken for that of one step earlier."""

    name = "shifted_history"
    shifted = True


class ThisLevelsAlpha(AdamsBashforth):
    """This step's alpha where the next one's belongs."""

    name = "this_levels_alpha"
    of_next = True


@pytest.mark.parametrize("sde", ["ve", "vp", "subvp"])
def test_a_sound_multistep_method_has_its_order(sde: str) -> None:
    assert_conforms(AdamsBashforth, registry=installed(), sdes=(sde,))


@pytest.mark.parametrize("mistaken", [ShiftedHistory, ThisLevelsAlpha])
def test_an_index_off_by_one_costs_the_order(mistaken: type[Predictor]) -> None:
    assert "convergence, vp" in failures(mistaken)
