"""ParaDiGMS as a third party's package: DDIM's result, in fewer rounds, at counted network calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import Prediction, Sampler, Solver, Tensor, assert_conforms
from bench.diffusion.counting import counted_evaluations
from bench.diffusion.noise import noise_streams
from bench.testing.context import CheckContext
from bench.testing.cost import memory
from tests.support.analytic import gaussian, sde
from tests.support.examples import example
from tests.support.plugins import installed

SHAPE = (2, 4, 4)
STEPS = 24


def solver(**parameters: float) -> Solver:
    """The solver, as its entry point registers it."""
    chosen: Solver = example("paradigms-solver", "paradigms").build("solvers", "paradigms", parameters)
    return chosen


def run(sampler: Sampler) -> tuple[Tensor, float, int]:
    """The samples, network calls per sample, and rounds with the denoising step."""
    rng = np.random.default_rng(1)
    model = gaussian(0.3 * rng.normal(size=SHAPE), rng.permutation(np.geomspace(1e-3, 1, 32)).reshape(SHAPE))
    p = Prediction(model, sampler.sde)
    prior, one, two = noise_streams(3, 0, "cpu")
    with counted_evaluations() as evaluations:
        x = sampler.run(prior(torch.empty(3, *SHAPE, dtype=torch.float64)), p, one, two)
    assert evaluations.most(3) == evaluations.count / 3
    return x, evaluations.count / 3, p.calls


def parallel(law: str, **parameters: float) -> tuple[Tensor, float, int]:
    chosen = solver(steps=STEPS - 1, **parameters)
    return run(Sampler(sde(law), solver=chosen, denoise="tweedie"))


def sequential(law: str) -> Tensor:
    return run(Sampler(sde(law), installed().build("predictors", "ddim", {}), steps=STEPS))[0]


@pytest.mark.parametrize("window", [1, 5, STEPS])
@pytest.mark.parametrize("law", ["vp", "ve"])
def test_at_tolerance_0_it_is_ddim(law: str, window: int) -> None:
    """A round settles one step for certain; the last windows are cut at eps."""
    x, nfe, rounds = parallel(law, window=window, tolerance=0)
    torch.testing.assert_close(x, sequential(law), rtol=1e-10, atol=1e-10)
    assert rounds <= STEPS
    if window == 1:
        assert nfe == rounds == STEPS


@pytest.mark.parametrize("law", ["vp", "ve"])
def test_its_difference_from_ddim_falls_with_the_tolerance(law: str) -> None:
    differences, all_rounds = [], []
    for tolerance in (1, 1e-2, 1e-4):
        x, nfe, rounds = parallel(law, window=8, tolerance=tolerance)
        differences.append(float((x - sequential(law)).abs().max()))
        all_rounds.append(rounds)
        # each round but the last ones has a window of eight, and the denoising step one call
        assert rounds <= nfe <= 8 * (rounds - 1) + 1
    # the tolerance is a hundredth each time
    assert 0 < differences[2] < differences[1] / 10 < differences[0] / 100
    assert all_rounds[0] < all_rounds[1] < all_rounds[2] < STEPS


def test_it_keeps_its_roles_promises() -> None:
    assert_conforms(type(solver()), sdes=("vp",), registry=installed())


def states(window: int) -> list[float]:
    """States that `bench check` finds in memory at once on VE, at 10 and at 40 steps."""
    (finding,) = memory(solver(window=window), CheckContext(installed(), ("ve",)))
    result = finding.numbers["states"]
    assert isinstance(result, list)
    return result


def test_its_memory_is_that_of_a_window_that_is_filled_twice() -> None:
    """docs/check.md: with 8 states not at 10 steps on VE; with 2 it is."""
    few, many = states(8)
    assert (round(few), round(many)) == (43, 60)
    few, many = states(2)
    assert round(few) == round(many) == 18
