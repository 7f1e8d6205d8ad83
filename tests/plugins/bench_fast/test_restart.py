"""Restart sampling against its authors' code, recorded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import Prediction
from bench.diffusion.grid import schedule_of
from bench_fast.restart import Restart
from tests.support.analytic import Replay, grid_of, sde
from tests.support.authors import libraries, mixture, recording

CASES = [(Restart(), "restart_3"), (Restart(t_min=0.5, t_max=2.0, points=4, repeats=1), "restart_4")]


@pytest.mark.parametrize(("predictor", "key"), CASES, ids=["default", "other"])
def test_it_is_the_authors(predictor: Restart, key: str) -> None:
    """Newbeeer/diffusion_restart_sampling's ``restart_sampler`` on EDM's grid, to clean data, and its calls.

    Its inner grid is of float32 positions: 1e-7 times the states' slopes.
    """
    law = sde("vp")
    x, state, p = torch.from_numpy(recording()["x"]), None, Prediction(mixture(), law)
    schedule = schedule_of(law, 9, grid_of("polynomial"), chain=False)
    noise = Replay(torch.from_numpy(libraries()["draws"]))
    for step in schedule:
        x, _, state = predictor.step(x, step, p, noise, state)
    np.testing.assert_allclose(x.numpy(), libraries()[key], rtol=0, atol=1e-6)
    assert p.calls == predictor.nfe(schedule) == {"restart_3": 25, "restart_4": 23}[key]
    assert noise.drawn == predictor.repeats


@pytest.mark.parametrize(
    "parameters", [{"t_max": 1e-9}, {"t_max": 1e9}, {"t_min": 1e-3}], ids=["below", "above", "last"]
)
def test_without_an_interval_within_the_grid_it_is_heuns_method(parameters: dict[str, float]) -> None:
    schedule = schedule_of(sde("vp"), 9, grid_of("polynomial"), chain=False)
    assert Restart(**parameters).nfe(schedule) == 17  # type: ignore[arg-type]
