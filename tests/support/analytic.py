"""The recorded figures of the public implementation, and the analytic score they were taken with.

``fixtures/samplers.npz`` is cut down from the recording: each noise is kept once (``noise/{index}``,
``traj/noise/{corrector}``), and of the runs whose steps act on each sample alone two samples of four.
``likelihood/`` is whole, its probes (plus or minus one) as int8.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from bench import SDE, Array, Grid, Model, Tensor
from bench.closed_form.mixture import Mixture, MixtureModel
from tests.support.paths import FIXTURES_PATH
from tests.support.plugins import installed

RECORDED = ("ve", "vp", "subvp")
SDES = (*RECORDED, "ve_exp", "vp_cosine")
"""SDEs whose alpha is above 0."""
FLOWS = ("flow", "flow_cosine")
"""SDEs that end in pure noise (tests/plugins/bench_score_sde/test_flow.py)."""


@cache
def recorded() -> dict[str, Array]:
    """Every recorded array, as float64."""
    with np.load(FIXTURES_PATH / "samplers.npz") as archive:
        return {name: np.asarray(archive[name], dtype=np.float64) for name in archive.files}


def tensor(name: str) -> Tensor:
    """A recorded array as a float64 tensor."""
    return torch.from_numpy(recorded()[name])


def gaussian(mean: Array, variance: Array, dtype: torch.dtype = torch.float64) -> MixtureModel:
    """N(mean, diag(variance)) as a model; arrays of one shape."""
    data = Mixture(np.ones(1), mean[None], variance[None])
    return MixtureModel(data, "cpu", dtype, color=None, range_=(0.0, 1.0))


def recorded_model(dtype: torch.dtype = torch.float64) -> Model:
    """The recording's N(mu, s0^2 I)."""
    mu, s0 = recorded()["mu"], float(recorded()["s0"])
    return gaussian(mu, np.full_like(mu, s0**2), dtype)


def sde(name: str, **parameters: float) -> SDE:
    """A registered SDE."""
    law: SDE = installed().build("sdes", name, parameters)
    return law


class Replay:
    """Noise that hands out ``draws`` one by one; a draw beyond them is an error."""

    def __init__(self, draws: Tensor) -> None:
        self.draws = draws
        self.drawn = 0

    def __call__(self, x: Tensor) -> Tensor:
        draw = self.draws[self.drawn].clone()
        self.drawn += 1
        assert draw.shape == x.shape
        return draw


def relative(result: Tensor | Array, expected: Tensor | Array) -> float:
    """Largest difference, relative to the largest expected magnitude."""
    difference, scale = np.abs(np.asarray(result) - np.asarray(expected)), np.abs(np.asarray(expected))
    return float(difference.max() / scale.max())


def grid_of(name: str, **parameters: float) -> Grid:
    """A registered time grid."""
    chosen: Grid = installed().build("grids", name, parameters)
    return chosen
