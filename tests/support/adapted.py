"""What the tests of both adapters share: Gaussian data, its samples, checks of adapted samplers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError, Prediction, Solver, Tensor
from bench.diffusion.noise import noise_streams
from bench.diffusion.sampler import Sampler
from bench.testing.probe import CountedNoise, prior
from tests.support.analytic import gaussian, sde
from tests.support.checks import context
from tests.support.plugins import installed

MU = np.linspace(-0.5, 0.5, 64).reshape(1, 8, 8)
LAM = np.geomspace(0.05, 2.0, 64).reshape(1, 8, 8)


def build(name: str, **parameters: Any) -> Solver:
    """The solver ``family:member``."""
    solver: Solver = installed().build("solvers", name, parameters)
    return solver


def sample(solver: Solver, law: str, batch: int, seed: int = 0) -> tuple[Tensor, int]:
    """Samples of the Gaussian, in float64, and the score calls."""
    chosen = sde(law)
    start, noise, other = noise_streams(seed, 0, "cpu")
    score = Prediction(gaussian(MU, LAM), chosen)
    with torch.no_grad():
        x = start(torch.empty(batch, *MU.shape, dtype=torch.float64))
        return Sampler(chosen, solver=solver, denoise="none").run(x, score, noise, other), score.calls


def check_noise(solver: Solver, *, drawn: bool) -> None:
    """The run's stream decides the result of a sampler that draws noise; no other draws from it."""
    assert solver.couples_batch is drawn
    results = []
    for seed in (0, 0, 1):
        stream = CountedNoise(seed)
        results.append(context().trial(solver, sde("vp"), 5, prior(2), noise=stream).x)
        assert stream.draws == drawn
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2]) is not drawn


def check_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    """The refusal is one line that contains the message."""
    with pytest.raises(BenchError) as error:
        build(name, **parameters)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def bench(*arguments: str) -> int:
    """The exit status of a command."""
    from bench.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)
