"""The fast samplers as parts of the one loop: exact moments, limits, history, correctors, few steps."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bench import Noise, Prediction, Predictor, Sampler, Tensor
from bench.closed_form.moments import moments, response_moments
from bench.diffusion.noise import noise_streams
from tests.support.analytic import gaussian, grid_of, sde
from tests.support.plugins import installed

FAST: list[tuple[str, dict[str, Any]]] = [
    ("ddim", {}),
    ("ddim", {"eta": 0.5}),
    ("heun", {}),
    ("heun", {"s_churn": 20.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.003}),
    ("dpmpp_2m", {}),
    ("dpmpp_3m", {}),
    ("dpmpp_3m", {"second": "taylor"}),
    ("unipc", {}),
    ("unipc", {"order": 2, "variant": "bh2"}),
    ("deis", {}),
    ("deis", {"variable": "log_sigma_ratio"}),
    ("ipndm", {}),
    ("ipndm_v", {}),
    ("dpm_solver_2", {}),
    ("dpm_solver_3", {}),
    ("dpmpp_2s", {"eta": 0.5}),
    ("dpmpp_2m_sde", {}),
    ("dpmpp_3m_sde", {}),
    ("er_sde", {}),
    ("seeds", {}),
    ("sa_solver", {}),
    ("restart", {"t_min": 0.5, "t_max": 2.0}),
    ("gradient_estimation", {}),
    ("res_multistep", {}),
    ("stork", {}),
    ("stork", {"method": "stork4"}),
]
NOISY = ("dpmpp_2m_sde", "dpmpp_3m_sde", "er_sde", "seeds", "sa_solver", "restart")
"""Samplers that draw noise by default."""
LAWS = ("ve", "vp", "subvp", "vp_cosine", "ve_exp")
GRIDS: list[tuple[int, str]] = [(1, "logsnr"), (2, "polynomial"), (3, "logsnr"), (5, "polynomial")]
GRIDS += [(30, "uniform")]
MU = np.array([[0.4, -0.5, 0.2], [0.3, -1.0, 0.0]])
LAM = np.array([[0.01, 0.3, 1.0], [4.0, 0.05, 2.0]])
MODEL = gaussian(MU, LAM)


def build(name: str, parameters: dict[str, Any]) -> Predictor:
    predictor: Predictor = installed().build("predictors", name, parameters)
    return predictor


def run(sampler: Sampler, batch: int = 4, rows: slice = slice(None)) -> tuple[Tensor, int]:
    """Samples (of ``rows`` of the batch, with their own noise) in float64, and the score calls."""
    like = torch.empty(batch, *MU.shape, dtype=torch.float64)
    prior, predictor, corrector = (partial(_rows, noise, like, rows) for noise in noise_streams(0, 0, "cpu"))
    score = Prediction(MODEL, sampler.sde)
    with torch.no_grad():
        return sampler.run(prior(like), score, predictor, corrector), score.calls


def _rows(noise: Noise, like: Tensor, rows: slice, x: Tensor) -> Tensor:
    del x
    return noise(like)[rows].clone()


@pytest.mark.parametrize(("name", "parameters"), FAST)
@pytest.mark.parametrize("law", LAWS)
def test_few_steps_on_every_grid_with_and_without_a_corrector(
    law: str, name: str, parameters: dict[str, Any]
) -> None:
    langevin = installed().build("correctors", "langevin", {"snr": 0.1})
    predictor = build(name, parameters)
    for corrector in (None, langevin):
        for steps, grid in GRIDS:
            sampler = Sampler(sde(law), predictor, corrector, steps=steps, grid=grid_of(grid))
            x, calls = run(sampler)
            assert x.isfinite().all()
            assert calls == (predictor.nfe(sampler.schedule()) or 0) + (steps if corrector else 0)


@pytest.mark.parametrize(("name", "parameters"), FAST)
def test_samples_do_not_depend_on_the_batch(name: str, parameters: dict[str, Any]) -> None:
    sampler = Sampler(sde("vp"), build(name, parameters), steps=8, grid=grid_of("logsnr"))
    assert not build(name, parameters).couples_batch
    whole, _ = run(sampler)
    part, _ = run(sampler, rows=slice(1, 3))
    assert torch.equal(whole[1:3], part)


@pytest.mark.parametrize(("name", "parameters"), FAST)
def test_moments_by_unit_impulses_are_those_of_samples(name: str, parameters: dict[str, Any]) -> None:
    """Pooled over coordinates, whose draws are independent: within four standard errors."""
    sampler = Sampler(sde("subvp"), build(name, parameters), steps=8, grid=grid_of("polynomial"))
    mean, variance = response_moments(sampler, MU, LAM)
    x, _ = run(sampler, batch=20_000)
    off = (x.mean(0).numpy() - mean) / np.sqrt(variance / len(x))
    ratio = (x.var(0).numpy() / variance - 1) * np.sqrt(len(x) / 2)
    assert np.abs(off).max() < 4
    assert np.abs(ratio).max() < 4


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("denoise", ["mean", "none", "tweedie"])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("ddim", {}), ("ddim", {"eta": 0.5}), ("ddim", {"eta": 1.0}), ("ancestral", {}), ("euler_maruyama", {})],
)
def test_moments_by_unit_impulses_are_those_of_the_recursion(
    law: str, denoise: Any, name: str, parameters: dict[str, Any]
) -> None:
    sampler = Sampler(sde(law), build(name, parameters), steps=40, denoise=denoise)
    for result, expected in zip(response_moments(sampler, MU, LAM), moments(sampler, MU, LAM), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-12)  # float64, 40 steps


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("dpmpp_2m", {}), ("dpmpp_3m", {}), ("unipc", {"order": 1}), ("deis", {}), ("ipndm", {}), ("heun", {})],
)
def test_the_first_step_is_ddims(name: str, parameters: dict[str, Any]) -> None:
    """With no history a multistep method has but the network's last word; Heun's single step is Euler's."""
    steps = 1 if name == "heun" else 2
    first, _ = run(Sampler(sde("vp"), build("ddim", {}), steps=steps, grid=grid_of("logsnr")))
    scale = Sampler(sde("vp"), build("ddim", {}), steps=2, grid=grid_of("logsnr")).schedule()[0]
    score = Prediction(MODEL, sde("vp"))
    x = torch.randn(3, *MU.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ddim = build("ddim", {}).step(x, scale, score, torch.zeros_like, None).x
    if name == "heun":
        second, _ = run(Sampler(sde("vp"), build(name, parameters), steps=1, grid=grid_of("logsnr")))
        torch.testing.assert_close(second, first)
    else:
        other = build(name, parameters).step(x, scale, score, torch.zeros_like, None).x
        # deis integrates by quadrature in float64, where DDIM has the difference itself
        torch.testing.assert_close(other, ddim, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "parameters"), FAST)
def test_no_noise_is_drawn_where_none_belongs(name: str, parameters: dict[str, Any]) -> None:
    drawn = 0

    def noise(x: Tensor) -> Tensor:
        nonlocal drawn
        drawn += 1
        return torch.zeros_like(x)

    sampler = Sampler(sde("vp"), build(name, parameters), steps=6, grid=grid_of("polynomial"))
    score = Prediction(gaussian(MU, LAM, torch.float32), sampler.sde)
    with torch.no_grad():
        sampler.run(torch.ones(2, *MU.shape), score, noise, noise)
    assert (drawn > 0) == (name in NOISY or "eta" in parameters or "s_churn" in parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "length"),
    [
        ("dpmpp_2m", {}, 2),
        ("dpmpp_3m", {}, 3),
        ("unipc", {}, 3),
        ("deis", {}, 4),
        ("deis", {"order": 2}, 2),
        ("ipndm", {}, 4),
    ],
)
def test_history_is_handed_on_and_bounded(name: str, parameters: dict[str, Any], length: int) -> None:
    sampler = Sampler(sde("vp"), build(name, parameters), steps=12, grid=grid_of("logsnr"))
    score = Prediction(MODEL, sampler.sde)
    predictor, state = sampler.predictor, None
    assert predictor is not None
    x = torch.ones(2, *MU.shape, dtype=torch.float64)
    lengths = []
    for step in sampler.schedule()[:-1]:
        x, _, state = predictor.step(x, step, score, torch.zeros_like, state)
        lengths.append(len(state))
    assert lengths == [min(i, length) for i in range(1, 12)]
    # and in no other place: nothing of the run hangs on the object
    assert vars(predictor) == predictor.values()
