"""SDEs that end in pure noise: their functions, the first step, and every built-in sampler from t = 1."""

from __future__ import annotations

import math
from typing import Any, cast

import mpmath
import numpy as np
import pytest
import torch

from bench import Prediction, Sampler
from bench.closed_form.moments import gaussian_moments
from bench.diffusion.grid import grid_times
from bench.testing.probe import ObservedPart
from bench.testing.sdes import check_sde
from tests.support.analytic import FLOWS, gaussian, grid_of, sde
from tests.support.checks import context
from tests.support.plugins import installed

MEAN, VARIANCE = np.linspace(-0.5, 0.6, 5), np.geomspace(1e-3, 0.3, 5)
"""A (B, D) Gaussian."""
# restart's way back has a number of steps of its own: it has no limit but the interval's error
PREDICTORS = [name for name in installed().names("predictors") if name not in ("none", "restart")]
LATE = ("dpmpp_2m_sde", "gradient_estimation", "ipndm_v", "sa_solver", "seeds")
"""Samplers whose error has not reached its order, or changes its sign, at 20 to 40 steps."""


def predictor(name: str, **values: Any) -> Any:
    return installed().build("predictors", name, values)


@pytest.mark.parametrize("t", [0.001, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("name", FLOWS)
def test_the_functions_are_those_of_the_interpolation(name: str, t: float) -> None:
    """In exact arithmetic; f = alpha' / alpha and g^2 = 2 sigma (sigma' - f sigma) where alpha > 0."""
    law, level = sde(name), sde(name).at(t)
    with mpmath.workdps(40):
        time = mpmath.mpf(t)
        alpha: Any = (lambda t: 1 - t) if name == "flow" else (lambda t: mpmath.cos(mpmath.pi / 2 * t))
        sigma: Any = (lambda t: t) if name == "flow" else (lambda t: mpmath.sin(mpmath.pi / 2 * t))
        a, s = alpha(time), sigma(time)
        a_slope, s_slope = mpmath.diff(alpha, time), mpmath.diff(sigma, time)
        for own, exact in (
            (level.alpha, a),
            (level.sigma, s),
            (level.alpha_slope, a_slope),
            (level.sigma_slope, s_slope),
        ):
            assert own == pytest.approx(float(exact), rel=1e-13, abs=1e-15)
        if t < 1:
            f = a_slope / a
            assert float(law.drift(np.asarray(t))) == pytest.approx(float(f), rel=1e-12)
            squared = float(law.diffusion(np.asarray(t))) ** 2
            assert squared == pytest.approx(float(2 * s * (s_slope - f * s)), rel=1e-12)
            ratio = np.array([float(mpmath.log(s / a))])
            assert law.time_at(ratio)[0] == pytest.approx(t, rel=1e-12)


@pytest.mark.parametrize("name", FLOWS)
def test_nothing_of_the_data_is_left_at_the_end(name: str) -> None:
    law = sde(name)
    assert (law.at(1.0).alpha, law.at(1.0).sigma, law.prior_std) == (0.0, 1.0, 1.0)
    assert law.ends_in_noise
    assert not sde("vp").ends_in_noise
    assert math.isinf(float(law.log_sigma_ratio(np.asarray(1.0))))
    assert law.log_sigma_ratio_range[1] == pytest.approx(float(law.log_sigma_ratio(np.asarray(0.999))))
    # without a published chain, the forward moves are the exact transition
    t = np.linspace(0.1, 1, 10)
    a, g = law.chain(t, 10)
    np.testing.assert_allclose(np.cumprod(a), law.alpha(t), atol=1e-15)
    assert g[-1] == 1.0


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("grid", ["uniform", "logsnr", "polynomial"])
def test_grids_reach_the_end(name: str, grid: str) -> None:
    t = grid_times(grid_of(grid), sde(name), 9)
    assert (t[0], t[-1]) == (1e-3, 1.0)
    assert (np.diff(t) > 0).all()
    if grid == "logsnr":
        even = np.diff(sde(name).log_sigma_ratio(t[:-1]))
        np.testing.assert_allclose(even, even[0], rtol=1e-9)


@pytest.mark.parametrize("name", FLOWS)
def test_it_conforms(name: str) -> None:
    assert [finding.name for finding in check_sde(sde(name), context()) if finding.status == "fail"] == []


@pytest.mark.parametrize("name", PREDICTORS)
def test_samplers_converge_from_pure_noise(name: str) -> None:
    """Exact moments: the error falls with the declared order, of which two are looked for."""
    law, part = sde("flow"), predictor(name)
    errors = []
    for steps in (160, 320) if name in LATE else (20, 40):
        moments = gaussian_moments(Sampler(law, part, steps=steps, grid=grid_of("logsnr")), MEAN, VARIANCE)
        assert moments is not None
        m, v = moments
        errors.append(math.sqrt(float(((m - MEAN) ** 2).sum() + ((v**0.5 - VARIANCE**0.5) ** 2).sum())))
    assert errors[1] < 0.15 if name != "probability_flow" else errors[1] < 1.5
    assert math.log2(errors[0] / errors[1]) > min(part.convergence_order or 1.0, 2.0) - 0.3


@pytest.mark.parametrize("name", ["ancestral", "euler_maruyama", "ddim", "heun"])
@pytest.mark.parametrize("law", FLOWS)
def test_samples_have_the_exact_moments(law: str, name: str) -> None:
    sampler = Sampler(sde(law), predictor(name), steps=12)
    draws = torch.Generator().manual_seed(0)
    n = 20_000

    def noise(x: torch.Tensor) -> torch.Tensor:
        return torch.randn(x.shape, generator=draws, dtype=x.dtype)

    p = Prediction(gaussian(MEAN, VARIANCE), sampler.sde)
    x = sampler.run(noise(torch.empty(n, 5, dtype=torch.float64)), p, noise, noise).numpy()
    moments = gaussian_moments(sampler, MEAN, VARIANCE)
    assert moments is not None
    mean, variance = moments
    assert (np.abs(x.mean(axis=0) - mean) < 4.5 * np.sqrt(variance / n)).all()
    assert (np.abs(x.var(axis=0) / variance - 1) < 4.5 * math.sqrt(2 / n)).all()
    assert p.calls == (23 if name == "heun" else 12)


@pytest.mark.parametrize("law", FLOWS)
def test_the_first_step_is_ddims_limit(law: str) -> None:
    """alpha' E[x0] + sigma' x, and E[x0 | x] is the data's mean: the same of every sampler that has none."""
    own = sde(law)
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name in ("ddim", "ancestral", "unipc", "deis", "heun"):
        part = predictor(name, **({"variable": "sigma_ratio"} if name == "heun" else {}))
        sampler = Sampler(own, part, steps=2, denoise="none")
        assert sampler.starts_by_limit
        observed = ObservedPart(part)
        watched = Sampler(own, cast(Any, observed), steps=2, denoise="none")
        watched.run(x, Prediction(gaussian(MEAN, VARIANCE), own), torch.randn_like, torch.randn_like)
        # the part's own first step is the second one, without a history
        assert observed.last is not None
        state, step, history = observed.last
        assert history is None
        expected = step.alpha * torch.from_numpy(MEAN) + step.sigma * x
        torch.testing.assert_close(state, expected, rtol=1e-12, atol=1e-12)
    for name in ("euler", "heun"):
        assert not Sampler(own, predictor(name), steps=2).starts_by_limit
    assert not Sampler(sde("vp"), predictor("ddim"), steps=2).starts_by_limit


@pytest.mark.parametrize("law", FLOWS)
def test_solvers_start_there_too(law: str) -> None:
    """A Gaussian's flow moves each quantile with its marginal."""
    own = sde(law)
    z = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rk45 = Sampler(own, solver=installed().build("solvers", "rk45", {"tol": 1e-7}), denoise="none")
    x = rk45.run(z, Prediction(gaussian(MEAN, VARIANCE), own), torch.randn_like, torch.randn_like)
    level = own.at(own.eps)
    spread = torch.from_numpy(np.sqrt(level.alpha**2 * VARIANCE + level.sigma**2))
    torch.testing.assert_close(x, level.alpha * torch.from_numpy(MEAN) + spread * z, rtol=0, atol=1e-5)
    assert not rk45.starts_by_limit
    # the reverse SDE's drift has no limit: one call from T to T - eps, then the solver's own
    part = installed().build("solvers", "sde_torchsde", {"steps": 8})
    stochastic = Sampler(own, solver=part, denoise="none")
    p = Prediction(gaussian(MEAN, VARIANCE), own)
    assert stochastic.starts_by_limit
    assert bool(stochastic.run(z, p, torch.randn_like, torch.randn_like).isfinite().all())
    assert p.calls == 1 + 8
