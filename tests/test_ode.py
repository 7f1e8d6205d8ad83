"""The probability-flow ODE by both Dormand-Prince solvers against the recorded runs."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from bench import SDE, Level, Model, Sampler, ScoreFunction, Tensor
from bench.plugins import registry
from tests.analytic import SDES, recorded, recorded_model, relative, sde, tensor

TOLERANCES = ("0.1", "0.01", "0.001", "0.0001", "1e-05", "1e-06")
TIGHT = TOLERANCES[2:]


class Witness(Model):
    """The recorded model, noting the times that it is called at."""

    def __init__(self) -> None:
        self.inner = recorded_model()
        self.shape = self.inner.shape
        self.times: list[float] = []

    def score(self, x: Tensor, level: Level) -> Tensor:
        self.times.append(level.t)
        return self.inner.score(x, level)

    def images(self, x: Tensor) -> Tensor:
        return self.inner.images(x)


def law_of(name: str) -> SDE:
    """The SDE with the eps that the paper integrates to: 1e-5 for VE, 1e-3 for VP and sub-VP."""
    return sde(name, eps=1e-5 if name == "ve" else 1e-3)


def solve(solver: str, name: str, tol: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Witness]:
    law, model = law_of(name), Witness()
    score = ScoreFunction(model, law)
    sampler = Sampler(law, solver=registry().build("solvers", solver, {"tol": tol}), denoise="none")
    z = tensor(f"ode/{name}/z").to(dtype)

    def no_noise(_: Tensor) -> Tensor:
        raise AssertionError("an ODE solver draws no noise")

    found = sampler.run(z / law.prior_std, score, no_noise, no_noise)
    assert score.calls == len(model.times)
    return found, model


@cache
def reference(name: str) -> Tensor:
    """The solution to nine digits."""
    return solve("scipy_rk45", name, 1e-9)[0]


@pytest.mark.parametrize("tol", TOLERANCES)
@pytest.mark.parametrize("name", SDES)
def test_scipy_is_the_papers(name: str, tol: str) -> None:
    found, model = solve("scipy_rk45", name, float(tol))
    assert len(model.times) == recorded()[f"ode/{name}/{tol}/nfe"]
    assert relative(found, recorded()[f"ode/{name}/{tol}/x"]) < 1e-4


@pytest.mark.parametrize("tol", TOLERANCES)
@pytest.mark.parametrize("name", SDES)
def test_rk45_takes_about_as_many_calls(name: str, tol: str) -> None:
    """Within two steps of six calls: the controllers differ in how they take a step back."""
    _, model = solve("rk45", name, float(tol))
    assert abs(len(model.times) - recorded()[f"ode/{name}/{tol}/nfe"]) <= 12


@pytest.mark.parametrize("tol", TIGHT)
@pytest.mark.parametrize("solver", ["rk45", "scipy_rk45"])
@pytest.mark.parametrize("name", SDES)
def test_tolerance_is_kept(name: str, solver: str, tol: str) -> None:
    """Ten times the tolerance leaves room for the local errors of tens of steps adding up.

    The tolerance is absolute plus relative, hence the magnitude that is divided by.
    """
    expected = reference(name)
    found, _ = solve(solver, name, float(tol))
    assert float(((found - expected).abs() / (1 + expected.abs().max())).max()) < 10 * float(tol)


@pytest.mark.parametrize("solver", ["rk45", "scipy_rk45"])
@pytest.mark.parametrize("name", SDES)
def test_ends_on_eps(name: str, solver: str) -> None:
    """The last stage is evaluated at the end of the last step: eps itself, and nothing beyond."""
    law = law_of(name)
    _, model = solve(solver, name, 1e-3)
    assert max(model.times) == law.end
    assert min(model.times) == pytest.approx(law.eps, rel=1e-12)
    assert min(model.times) >= law.eps * (1 - 1e-12)


@pytest.mark.parametrize("name", SDES)
def test_rk45_float32(name: str) -> None:
    """1e-6 is near float32's resolution: the state's rounding must not stall the step size."""
    found, model = solve("rk45", name, 1e-6, torch.float32)
    assert found.dtype == torch.float32
    assert len(model.times) < 2 * recorded()[f"ode/{name}/1e-06/nfe"]
    # float32 on states up to 1e2 that shrink to order one: a few times eps at each of the steps
    assert relative(found, reference(name)) < 1e-4
