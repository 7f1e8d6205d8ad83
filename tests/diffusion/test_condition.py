"""A run without a condition has the bits of the plain steps; one run leaves no condition to the next."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from bench import Condition, Noise, NoiseLevel, Prediction, Sampler, Tensor
from bench.diffusion.noise import noise_stream
from tests.benchmarks.overhead import plain
from tests.support.analytic import sde
from tests.support.completions import SDES, Nothing, Shrinking, pc, small_gaussian
from tests.support.plugins import installed


def prior(side: int) -> Tensor:
    return noise_stream(3, 0, "prior", "cpu")(torch.empty(6, 3, side, side))


def noises() -> tuple[Noise, Noise]:
    return noise_stream(3, 0, "predictor", "cpu"), noise_stream(3, 0, "corrector", "cpu")


@pytest.mark.parametrize("model", [small_gaussian, Shrinking], ids=["exact", "denoiser"])
@pytest.mark.parametrize("predictor", ["reverse_diffusion", "ancestral", "heun", "ipndm"])
@pytest.mark.parametrize("name", SDES)
def test_no_condition_and_one_that_does_nothing_leave_the_bits(name: str, predictor: str, model: Any) -> None:
    """Against the steps in a plain loop, which knows of no condition."""
    sampler = pc(name, predictor, "langevin", {"steps": 2}, steps=4)
    score = functools.partial(Prediction, model(sampler.sde, 8), sampler.sde)
    scores = [score(), score(), score()]
    results = [
        plain(sampler, prior(8), scores[0], *noises()),
        sampler.run(prior(8), scores[1], *noises()),
        sampler.run(prior(8), scores[2], *noises(), condition=Nothing()),
    ]
    assert torch.equal(results[1], results[0])
    assert torch.equal(results[2], results[0])
    assert [s.calls for s in scores] == [scores[0].calls] * 3


def test_a_solver_and_one_that_does_nothing_leave_the_bits() -> None:
    vp = sde("vp")
    sampler = Sampler(sde=vp, solver=installed().build("solvers", "rk45", {"tol": 1e-2}), denoise="tweedie")
    results = [
        sampler.run(prior(4), Prediction(small_gaussian(vp, 4), vp), *noises(), condition=condition)
        for condition in (None, Nothing())
    ]
    assert torch.equal(*results)


def test_one_run_leaves_no_condition_to_the_next() -> None:
    class Pulling(Condition):
        def guide(self, x: Tensor, level: NoiseLevel) -> Tensor:
            return -x

    sampler = pc("vp", steps=3)
    score = Prediction(small_gaussian(sampler.sde, 4), sampler.sde)
    before = sampler.run(prior(4), score, *noises())
    guided = sampler.run(prior(4), score, *noises(), condition=Pulling())
    assert not torch.equal(before, guided)
    assert torch.equal(before, sampler.run(prior(4), score, *noises()))
