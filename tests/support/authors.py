"""Runs of the authors' own code and of libraries, recorded (``fixtures/{authors,libraries}_fast.npz``)."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from bench import Array, Grid, Prediction, Predictor, Tensor
from bench.closed_form.mixture import Mixture, MixtureModel
from bench.diffusion.grid import schedule_of
from tests.support.analytic import Replay, grid_of, sde
from tests.support.paths import FIXTURES_PATH

GRIDS: dict[str, Grid] = {
    "uniform": grid_of("uniform"),
    "logsnr": grid_of("logsnr"),
    "quadratic": grid_of("time_uniform", rho=2.0),
}
"""The grids of the recording, which are ``time_uniform``, ``logSNR`` and ``time_quadratic`` there."""
MOVES = (5, 8, 10, 30)
"""Moves from T to eps; the authors call them steps."""


@cache
def recording() -> dict[str, Array]:
    """Every recorded array, float64; ``METHOD``: states at eps (grids, moves, 3, 2)."""
    with np.load(FIXTURES_PATH / "authors_fast.npz") as archive:
        return {name: archive[name] for name in archive.files}


@cache
def mixture() -> MixtureModel:
    """The recording's exact score: a mixture of three Gaussians in the plane."""
    arrays = recording()
    data = Mixture(arrays["weight"], arrays["mean"], arrays["variance"])
    return MixtureModel(data, "cpu", torch.float64, color=None, range_=(0.0, 1.0))


def states_at_eps(predictor: Predictor) -> Array:
    """The states (grids, moves, 3, 2) before the last step, to clean data, from the recording's start."""
    law = sde("vp")
    predictor, p = predictor.resolve(law), Prediction(mixture(), law)
    states = np.empty((len(GRIDS), len(MOVES), 3, 2))
    for i, grid in enumerate(GRIDS.values()):
        for j, moves in enumerate(MOVES):
            schedule = schedule_of(law, moves + 1, grid, chain=False)
            x, state = torch.from_numpy(recording()["x"]), None
            for step in schedule[:-1]:
                x, _, state = predictor.step(x, step, p, _no_noise, state)
            states[i, j] = x.numpy()
    return states


@cache
def libraries() -> dict[str, Array]:
    """The recording of libraries; ``METHOD``: states at eps (logsnr and polynomial grid, 3, 2), 8 moves."""
    with np.load(FIXTURES_PATH / "libraries_fast.npz") as archive:
        return {name: archive[name] for name in archive.files}


def states_with_draws(predictor: Predictor) -> Array:
    """The states (logsnr and polynomial grid, 3, 2) at eps after 8 moves, with the recording's draws."""
    law = sde("vp")
    predictor, p = predictor.resolve(law), Prediction(mixture(), law)
    results = []
    for grid in ("logsnr", "polynomial"):
        noise = Replay(torch.from_numpy(libraries()["draws"]))
        x, state = torch.from_numpy(recording()["x"]), None
        for step in schedule_of(law, 9, grid_of(grid), chain=False)[:-1]:
            x, _, state = predictor.step(x, step, p, noise, state)
        results.append(x.numpy())
    return np.stack(results)


def agrees(predictor: Predictor, key: str) -> None:
    """The predictor's states are the recorded ones, both in float64."""
    np.testing.assert_allclose(states_with_draws(predictor), libraries()[key], rtol=0, atol=1e-11)


def _no_noise(x: Tensor) -> Tensor:
    raise AssertionError(f"a deterministic sampler drew noise of shape {tuple(x.shape)}")
