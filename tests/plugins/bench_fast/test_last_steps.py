"""The last steps of multistep methods as their authors take them: runs of the authors' own code, recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench import Sampler
from bench_fast.history import final_order
from tests.support.analytic import grid_of, sde
from tests.support.authors import recording, states_at_eps
from tests.support.plugins import installed

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("dpmpp_2m", "dpmpp_2m", {}),
    ("dpmpp_3m", "dpmpp_3m", {}),
    ("unipc_2_bh1", "unipc", {"order": 2}),
    ("unipc_3_bh1", "unipc", {}),
    ("unipc_2_bh2", "unipc", {"order": 2, "variant": "bh2"}),
    ("unipc_3_bh2", "unipc", {"variant": "bh2"}),
    ("deis", "deis", {}),
]


@pytest.mark.parametrize(("key", "name", "parameters"), CASES, ids=[key for key, *_ in CASES])
def test_the_defaults_are_the_authors(key: str, name: str, parameters: dict[str, Any]) -> None:
    """LuChengTHU/dpm-solver, wl-zhao/UniPC and qsh-zh/deis at 5, 8, 10 and 30 moves on three grids.

    All in float64; of DEIS the recording's own quadrature leaves 1e-6.
    """
    states = states_at_eps(installed().build("predictors", name, parameters))
    np.testing.assert_allclose(states, recording()[key], rtol=0, atol=1e-5 if key == "deis" else 1e-11)


@pytest.mark.parametrize(
    ("name", "few", "many"),
    [("dpmpp_2m", "always", "never"), ("unipc", "always", "always"), ("deis", "never", "never")],
)
def test_published_is_one_of_the_two_at_few_and_at_many_moves(name: str, few: str, many: str) -> None:
    """Few: below 10, the first two numbers of moves; the policies differ by more than is allowed above."""
    published, always, never = (
        states_at_eps(installed().build("predictors", name, {"lower_order_final": policy}))
        for policy in ("published", "always", "never")
    )
    other = {"always": always, "never": never}
    assert np.array_equal(published[:, :2], other[few][:, :2])
    assert np.array_equal(published[:, 2:], other[many][:, 2:])
    assert (np.abs(always - never).max(axis=(2, 3)) > 1e-5).all()


def test_the_order_falls_to_one_before_the_last_step() -> None:
    steps = Sampler(sde("vp"), steps=6, grid=grid_of("logsnr")).schedule()
    assert [step.steps_left for step in steps] == [5, 4, 3, 2, 1, 0]
    assert [step.last for step in steps] == [False] * 5 + [True]
    assert [final_order(3, step.steps_left) for step in steps] == [3, 3, 3, 2, 1, 1]
