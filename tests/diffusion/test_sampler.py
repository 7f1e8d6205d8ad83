"""The loop: NFE is the number of the model's calls by its own count; progress, checks, pickling."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from bench import (
    SDE,
    BenchError,
    Condition,
    Field,
    FlowSolver,
    Model,
    Noise,
    NoiseLevel,
    Prediction,
    Predictor,
    Sampler,
    Step,
    Tensor,
    Update,
    param,
)
from bench.diffusion.noise import noise_streams
from bench.diffusion.roles import PartError
from bench.diffusion.sampler import Denoise, check_denoise, default_denoise
from bench.errors import NotFiniteError
from tests.support.analytic import gaussian, grid_of, sde
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


def count(law: str, **settings: Any) -> tuple[int, list[tuple[int, int | None]]]:
    """NFE of a run, and the steps that it reported; the calls that it reported are checked."""
    model, chosen = Counting(), sde(law)
    score, reports = Prediction(model, chosen), list[tuple[int, int | None]]()

    def on_step(done: int, total: int | None, calls: int) -> None:
        # a solver's call is reported before it is made
        assert calls == model.calls + (total is None)
        reports.append((done, total))

    prior, one, two = noise_streams(0, 0, "cpu")
    start = prior(torch.empty(3, *SHAPE))
    x = Sampler(chosen, **settings).run(start, score, one, two, on_step)
    assert x.shape == start.shape
    assert bool(x.isfinite().all())
    assert score.calls == model.calls
    return model.calls, reports


def predictor(name: str) -> Any:
    return installed().build("predictors", name, {})


def langevin(**parameters: Any) -> Any:
    return installed().build("correctors", "langevin", parameters)


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
    calls, reports = count("ve", **settings, denoise=denoise)
    assert calls == nfe + extra
    steps = settings["steps"]
    assert reports == [(k, steps) for k in range(1, steps + 1)]


@pytest.mark.parametrize("moves", [1, 3])
@pytest.mark.parametrize(("order", "corrected"), [("corrector_first", 50), ("predictor_first", 49)])
@pytest.mark.parametrize("law", ["ve", "vp", "subvp"])
def test_orders(law: str, order: str, corrected: int, moves: int) -> None:
    """After the last predictor step no level remains to correct at."""
    settings: dict[str, Any] = {"predictor": predictor("euler_maruyama"), "corrector": langevin(steps=moves)}
    assert count(law, **settings, steps=50, order=order)[0] == 50 + moves * corrected


@pytest.mark.parametrize("solver", ["rk45", "scipy_rk45"])
@pytest.mark.parametrize("law", ["ve", "vp", "subvp"])
def test_solvers(law: str, solver: str) -> None:
    """One call for the slope at the start, one to guess the first step, six per step."""
    part = installed().build("solvers", solver, {"tol": 1e-4})
    calls, reports = count(law, solver=part, denoise="none")
    assert calls % 6 == 2
    assert reports == [(k, None) for k in range(1, calls + 1)]
    assert count(law, solver=part, denoise="tweedie")[0] == calls + 1


class Broken(Predictor):
    """Leaves NaN at one step, or a state of another precision."""

    name = "broken"

    at: int = param(default=2, help="the step")
    halve: bool = param(default=False, help="change the precision")

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        done = (state or 0) + 1
        if done == self.at:
            x = x.half() if self.halve else x * float("nan")
        return Update(x, x, done)


def run(sampler: Sampler, **settings: Any) -> Tensor:
    prior, one, two = noise_streams(0, 0, "cpu")
    p = Prediction(Counting(), sampler.sde)
    return sampler.run(prior(torch.empty(3, *SHAPE)), p, one, two, **settings)


def test_a_watched_run_names_the_step_that_is_not_finite() -> None:
    sampler = Sampler(sde("ve"), Broken(at=3), steps=5)
    assert bool(run(sampler).isnan().all())
    with pytest.raises(NotFiniteError, match=r"in the predictor at step 3 of 5$"):
        run(sampler, watch=True)


def test_a_state_of_another_precision_is_an_error_of_the_part() -> None:
    message = r"^broken received \(3, 1, 2, 2\) torch.float32 on cpu and returned .* torch.float16 on cpu$"
    with pytest.raises(PartError, match=message):
        run(Sampler(sde("ve"), Broken(halve=True), steps=5))


def test_a_field_is_integrated_by_the_solver_and_each_evaluation_reported() -> None:
    """dy/dt = y from 0.5 to 0.1, one network call an evaluation."""
    model, vp = Counting(), sde("vp")
    p, reports = Prediction(model, vp), list[tuple[int, int | None, int]]()

    def field(t: float, y: Tensor) -> Tensor:
        p.score(y, t)
        return y

    sampler = Sampler(vp, solver=installed().build("solvers", "rk45", {"tol": 1e-6}), denoise="none")
    y = torch.ones(2, *SHAPE)
    x = sampler.integrate(field, y, 0.5, 0.1, p, lambda *report: reports.append(report))
    torch.testing.assert_close(x, y * math.exp(-0.4), rtol=1e-5, atol=0)
    assert reports == [(k, None, k) for k in range(1, model.calls + 1)]

    fixed = Sampler(vp, solver=Euler(), denoise="none")

    def broken(t: float, y: Tensor) -> Tensor:
        return field(t, y) * float("nan")

    with pytest.raises(NotFiniteError, match=r"before network call .* of the solver$"):
        fixed.integrate(broken, y, 0.5, 0.1, p, watch=True)


class Euler(FlowSolver):
    """Two of Euler's steps."""

    name = "euler"

    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        middle = (start + end) / 2
        y = y + (middle - start) * field(start, y)
        return y + (end - middle) * field(middle, y)


@pytest.mark.parametrize(
    "settings",
    [
        {
            "predictor": predictor("ancestral"),
            "corrector": langevin(steps=2),
            "steps": 40,
            "label_scales": 20,
        },
        {"predictor": predictor("dpmpp_3m"), "grid": grid_of("logsnr"), "order": "predictor_first"},
        {"solver": installed().build("solvers", "rk45", {"tol": 1e-3}), "denoise": "tweedie"},
    ],
    ids=["ancestral", "dpmpp_3m", "rk45"],
)
def test_a_sampler_pickles(settings: dict[str, Any]) -> None:
    for law in ("vp", "vp_cosine"):
        sampler = Sampler(sde(law), **settings)
        copied = pickle.loads(pickle.dumps(sampler))
        assert copied == sampler
        if sampler.solver is None:
            assert copied.schedule() == sampler.schedule()


def test_label_scales_belong_to_the_uniform_grid() -> None:
    with pytest.raises(BenchError, match="label_scales belongs to"):
        Sampler(sde("vp"), predictor("ddim"), grid=grid_of("logsnr"), label_scales=10)


@pytest.mark.parametrize(
    ("name", "nfe"),
    [("ddim", 5), ("heun", 10), ("dpmpp_3m", 5), ("ipndm", 5), ("unipc", 5), ("deis", 5), ("ancestral", 5)],
)
def test_afs_saves_the_call_at_the_start(name: str, nfe: int) -> None:
    settings: dict[str, Any] = {"predictor": predictor(name), "grid": grid_of("logsnr"), "steps": 6}
    assert count("vp", **settings, afs=True)[0] == nfe == count("vp", **settings)[0] - 1
    # sigma x / (alpha^2 v + sigma^2), a Gaussian's noise at T, is x where v = sigma / (1 + sigma)
    vp = sde("vp")
    sigma = vp.at(vp.end).sigma
    results = []
    for afs, variance in (
        (True, sigma / (1 + sigma)),
        (False, sigma / (1 + sigma)),
        (True, 0.1),
        (False, 0.1),
    ):
        prior, one, two = noise_streams(0, 0, "cpu")
        p = Prediction(gaussian(np.zeros(SHAPE), np.full(SHAPE, variance)), vp)
        z = prior(torch.empty(3, *SHAPE, dtype=torch.float64))
        results.append(Sampler(vp, **settings, afs=afs).run(z, p, one, two))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)
    assert float((results[2] - results[3]).abs().max()) > 1e-6


def test_afs_takes_the_prior_for_the_noise_and_leaves_out_the_guide() -> None:
    """DDIM's first step on VP with noise = x; the rest as from there."""

    class Failing(Condition):
        def guide(self, x: Tensor, level: NoiseLevel) -> Tensor | None:
            assert level.t < 1
            return None

    chosen = Sampler(sde("vp"), predictor("ddim"), grid=grid_of("logsnr"), steps=2, afs=True)
    first, last = chosen.schedule()
    prior, one, two = noise_streams(0, 0, "cpu")
    z = prior(torch.empty(3, *SHAPE, dtype=torch.float64))
    noise = z / math.hypot(first.alpha, first.sigma)
    x = first.alpha_next / first.alpha * (z - first.sigma * noise) + first.sigma_next * noise
    model = gaussian(np.full(SHAPE, 0.3), np.full(SHAPE, 0.25))
    expected = model.denoised(x, last)
    result = chosen.run(z, Prediction(model, chosen.sde), one, two, condition=Failing())
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("law", "settings", "message"),
    [
        ("vp", {"solver": installed().build("solvers", "rk45", {})}, "is of a predictor's first step"),
        ("vp", {"predictor": predictor("none"), "corrector": langevin()}, "is of a predictor's first step"),
        ("vp", {"predictor": predictor("ddim"), "corrector": langevin()}, "which langevin needs"),
        ("flow", {"predictor": predictor("euler")}, "has no meaning on flow"),
        ("vp", {"predictor": predictor("ddim"), "steps": 1}, "needs --steps 2 or more"),
    ],
)
def test_afs_needs_a_step_whose_call_it_saves(law: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        Sampler(sde(law), **{"steps": 9, **settings}, afs=True)


def test_the_default_end_suits_the_solver() -> None:
    rk45 = installed().build("solvers", "rk45", {})
    assert (default_denoise(None), default_denoise(rk45)) == ("mean", "tweedie")
    check_denoise(rk45, "none")
    with pytest.raises(BenchError, match="--denoise mean needs a predictor or corrector"):
        check_denoise(rk45, "mean")


class Stopping(Euler):
    """Euler's steps to a quarter of the time, where it says that it ends."""

    name = "stopping"

    def end_level(self, sde: SDE) -> NoiseLevel:
        return sde.at(0.25)

    def resolve(self, sde: SDE) -> Stopping:
        if sde.name == "ve":
            raise BenchError("stopping is not defined on ve")
        return self

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return self.integrate(lambda t, y: p.velocity(y, t), x, sde.end, 0.25)


def test_the_denoising_step_is_at_the_level_where_the_solver_ends() -> None:
    chosen, (start, one, two) = sde("vp"), noise_streams(0, 0, "cpu")
    x = start(torch.empty(2, *SHAPE))
    p = Prediction(Counting(), chosen)
    ends: tuple[Denoise, Denoise] = ("none", "tweedie")
    state, clean = (Sampler(chosen, solver=Stopping(), denoise=end).run(x, p, one, two) for end in ends)
    assert torch.equal(clean, p.denoised(state, chosen.at(0.25)))


def test_a_solver_is_resolved_on_the_run_s_sde() -> None:
    with pytest.raises(BenchError, match="not defined on ve"):
        Sampler(sde("ve"), solver=Stopping(), denoise="none")
    assert Stopping().notes(sde("vp")) == ()
