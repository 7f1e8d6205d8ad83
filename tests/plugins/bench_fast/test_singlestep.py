"""The singlestep solvers against their authors' code and k-diffusion's, recorded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import Prediction, Predictor
from bench.diffusion.grid import schedule_of
from bench_fast.singlestep import DPMpp2S, DPMSolver2, DPMSolver3
from tests.support.analytic import grid_of, sde
from tests.support.authors import MOVES, agrees, mixture, recording


@pytest.mark.parametrize(
    ("predictor", "key"),
    [
        (DPMSolver2(), "dpm_solver_2"),
        (DPMSolver3(), "dpm_solver_3"),
        (DPMpp2S(), "dpmpp_2s"),
        (DPMpp2S(eta=1.0), "dpmpp_2s_ancestral"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_it_is_k_diffusions(predictor: Predictor, key: str) -> None:
    """``DPMSolver.dpm_solver_2_step``, ``dpm_solver_3_step`` and ``sample_dpmpp_2s_ancestral``."""
    agrees(predictor, key)


@pytest.mark.parametrize(
    ("predictor", "key", "calls"),
    [
        (DPMSolver2(), "dpm_solver_2s_fixed", 2),
        (DPMSolver3(), "dpm_solver_3s_fixed", 3),
        (DPMpp2S(), "dpmpp_2s_fixed", 2),
    ],
    ids=["2", "3", "2S"],
)
def test_it_is_the_authors(predictor: Predictor, key: str, calls: int) -> None:
    """LuChengTHU/dpm-solver's ``singlestep_fixed`` on its logSNR grid, where the calls between are even."""
    law = sde("vp")
    for moves, states in zip(MOVES, recording()[key][1], strict=True):
        x, p = torch.from_numpy(recording()["x"]), Prediction(mixture(), law)
        schedule = schedule_of(law, moves // calls + 1, grid_of("logsnr"), chain=False)
        for step in schedule[:-1]:
            x = predictor.step(x, step, p, torch.randn_like, None).x
        # float64, whose rounding the longest steps enlarge
        np.testing.assert_allclose(x.numpy(), states, rtol=0, atol=1e-9)
        assert p.calls == (predictor.nfe(schedule) or 0) - 1
