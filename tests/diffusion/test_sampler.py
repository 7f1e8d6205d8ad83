"""NFE is the number of times that the model was called, by a count of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import Model, NoiseLevel, Prediction, Sampler, Tensor
from bench.diffusion.noise import noise_streams
from tests.support.analytic import gaussian, sde
from tests.support.plugins import installed

SHAPE = (1, 2, 2)


class Counting(Model):
    """A Gaussian that counts for itself."""

    shape = SHAPE

    def __init__(self) -> None:
        self.inner = gaussian(np.full(SHAPE, 0.3), np.full(SHAPE, 0.25), torch.float32)
        self.calls = 0

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        self.calls += 1
        return self.inner.score(x, level)

    def images(self, x: Tensor) -> Tensor:
        return self.inner.images(x)


def counted(law: str, **given: Any) -> tuple[int, list[tuple[int, int | None]]]:
    """NFE of a run, and what progress was told of steps; the calls that it was told of are checked."""
    model, chosen = Counting(), sde(law)
    score, told = Prediction(model, chosen), list[tuple[int, int | None]]()

    def on_step(done: int, total: int | None, calls: int) -> None:
        # a solver's call is told of before it is made
        assert calls == model.calls + (total is None)
        told.append((done, total))

    prior, one, two = noise_streams(0, 0, "cpu")
    start = prior(torch.empty(3, *SHAPE))
    found = Sampler(chosen, **given).run(start, score, one, two, on_step)
    assert found.shape == start.shape
    assert bool(found.isfinite().all())
    assert score.calls == model.calls
    return model.calls, told


def predictor(name: str) -> Any:
    return installed().build("predictors", name, {})


def langevin(**given: Any) -> Any:
    return installed().build("correctors", "langevin", given)


@pytest.mark.parametrize(("denoise", "extra"), [("mean", 0), ("none", 0), ("tweedie", 1)])
@pytest.mark.parametrize(
    ("settings", "nfe"),
    [
        ({"predictor": predictor("reverse_diffusion"), "steps": 1000}, 1000),
        ({"predictor": predictor("ancestral"), "steps": 2000}, 2000),
        ({"predictor": predictor("reverse_diffusion"), "corrector": langevin(), "steps": 1000}, 2000),
        ({"predictor": predictor("none"), "corrector": langevin(steps=2), "steps": 1000}, 2000),
        ({"corrector": langevin(steps=2), "steps": 1000}, 2000),
    ],
    ids=["P1000", "P2000", "PC1000", "C2000", "C2000-no-predictor"],
)
def test_published_settings(settings: dict[str, Any], nfe: int, denoise: str, extra: int) -> None:
    calls, told = counted("ve", **settings, denoise=denoise)
    assert calls == nfe + extra
    steps = settings["steps"]
    assert told == [(k, steps) for k in range(1, steps + 1)]


@pytest.mark.parametrize("moves", [1, 3])
@pytest.mark.parametrize(("order", "corrected"), [("corrector_first", 50), ("predictor_first", 49)])
@pytest.mark.parametrize("law", ["ve", "vp", "subvp"])
def test_orders(law: str, order: str, corrected: int, moves: int) -> None:
    """After the last predictor step there is no scale left to correct at."""
    given: dict[str, Any] = {"predictor": predictor("euler_maruyama"), "corrector": langevin(steps=moves)}
    assert counted(law, **given, steps=50, order=order)[0] == 50 + moves * corrected


@pytest.mark.parametrize("solver", ["rk45", "scipy_rk45"])
@pytest.mark.parametrize("law", ["ve", "vp", "subvp"])
def test_solvers(law: str, solver: str) -> None:
    """One call for the slope at the start, one to guess the first step, six per step."""
    made = installed().build("solvers", solver, {"tol": 1e-4})
    calls, told = counted(law, solver=made, denoise="none")
    assert calls % 6 == 2
    assert told == [(k, None) for k in range(1, calls + 1)]
    assert counted(law, solver=made, denoise="tweedie")[0] == calls + 1
