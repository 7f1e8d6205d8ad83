"""iPNDM against diffusers', and its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench import Sampler, Tensor
from bench_fast.ipndm import WEIGHTS, IPNDMv, exact_weights, published_weights
from tests.support.analytic import grid_of
from tests.support.authors import agrees
from tests.support.plugins import installed
from tests.support.published_fast import (
    PLACES,
    STEPS,
    agree,
    diffusers,
    norm,
    ours,
    plain,
    quiet,
    score_function,
    start,
    theirs,
    within,
)

pytestmark = quiet


@pytest.mark.parametrize(("checkpoint", "law"), PLACES)
@pytest.mark.parametrize("order", [4])
def test_it_is_diffusers(checkpoint: str, law: str, order: int) -> None:
    sde = installed().build("sdes", law, {})
    predictor = installed().build("predictors", "ipndm", {"order": order})
    schedule = Sampler(sde, predictor, steps=STEPS, grid=grid_of("polynomial")).schedule()[:-1]
    scheduler = diffusers.IPNDMScheduler()
    scheduler.set_timesteps(len(schedule))
    # its own alphas and betas are those of a trigonometric schedule
    factors = [(s.alpha / norm(s), s.sigma / norm(s)) for s in schedule]
    last = schedule[-1]
    factors.append((last.alpha_next / norm(last, end=True), last.sigma_next / norm(last, end=True)))
    scheduler.alphas, scheduler.betas = torch.tensor(factors, dtype=torch.float64).T
    scheduler.timesteps = torch.arange(len(factors))
    p = score_function(checkpoint, sde)
    x = start(p, sde)

    def step(scheduler: Any, i: int, eps: Tensor, z: Tensor) -> Tensor:
        # it reads the noise as alpha times the output plus sigma times z
        output = (eps - scheduler.betas[i] * z) / scheduler.alphas[i]
        return plain(scheduler, i, output, z)

    with torch.no_grad():
        x_ours = ours(predictor, schedule, p, x, torch.randn_like)
        agree(x_ours, theirs(scheduler, schedule, p, x, step), within(checkpoint))


@pytest.mark.parametrize("weights", WEIGHTS, ids=len)
def test_the_weights_integrate_polynomials_over_the_next_step(weights: tuple[float, ...]) -> None:
    """Through values at 0, -1, -2, ...: u^k, k below their number, integrates to 1 / (k + 1)."""
    nodes = -np.arange(len(weights), dtype=float)
    for k in range(len(weights)):
        assert float(np.array(weights) @ nodes**k) == pytest.approx(1 / (k + 1), rel=1e-12)


@pytest.mark.parametrize(("order", "key"), [(2, "ipndm_v_2"), (3, "ipndm_v_3"), (4, "ipndm_v")])
def test_ipndm_v_is_comfyuis(order: int, key: str) -> None:
    """``sample_ipndm_v``, which is zju-pi/diff-sampler's."""
    agrees(IPNDMv(order=order), key)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_exact_weights_integrate_polynomials_over_uneven_steps(count: int) -> None:
    rho, end = [3.0, 4.5, 5.0, 8.0][:count], 2.2
    for k in range(count):
        integral = (end ** (k + 1) - rho[0] ** (k + 1)) / (k + 1)
        weights = np.array(exact_weights(rho, end))
        assert float(weights @ np.array(rho) ** k) * (end - rho[0]) == pytest.approx(integral, rel=1e-9)


def test_published_weights_are_the_method_s_up_to_two_and_on_even_steps_up_to_three() -> None:
    rho = [3.0, 4.5, 5.0, 8.0]
    assert published_weights(rho[:2], 2.2) == pytest.approx(exact_weights(rho[:2], 2.2), rel=1e-12)
    assert published_weights([3.0, 4.0, 5.0], 2.0) == pytest.approx(WEIGHTS[2], rel=1e-12)
    assert abs(published_weights(rho[:3], 2.2)[0] - exact_weights(rho[:3], 2.2)[0]) > 0.05
    # of four they do not even sum to one where the steps are uneven
    assert abs(sum(published_weights(rho, 2.2)) - 1) > 0.05
    assert sum(published_weights([3.0, 4.0, 5.0, 6.0], 2.0)) == pytest.approx(1, rel=1e-12)
