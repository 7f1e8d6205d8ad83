"""Learned times: the derivative through the sampler is that of autograd, and the error falls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bench import Array, BenchError, Predictor, Tensor
from bench_fast.ancestral import EulerAncestral
from bench_fast.ddim import DDIM
from bench_fast.dpmpp import DPMpp2M
from bench_fitted.learned import LearnedTimes, Objective, improve, starts, times_of
from tests.support.analytic import grid_of
from tests.support.authors import recording
from tests.support.fits import plane_work


def ddim_by_torch(prior: Tensor, v: Tensor, first: float) -> Tensor:
    """DDIM on the mixture, written out for autograd: every level is a tensor that depends on v.

    On VP ``alpha = (1 + rho^2)^(-1/2)``, ``sigma = rho alpha``; ``E[x0 | x]`` of the mixture in closed form.
    """
    weight, mean, variance = (torch.from_numpy(recording()[name]) for name in ("weight", "mean", "variance"))
    rho = torch.cat([torch.tensor([first], dtype=torch.float64), v.exp()])
    alpha = (1 + rho**2).rsqrt()
    y = prior / alpha[0]  # x / alpha, of which x at T has the prior's deviation 1
    for i in range(len(rho)):
        spread = variance + rho[i] ** 2  # (K, 2)
        distance = ((y[:, None] - mean) ** 2 / spread).sum(-1) + spread.log().sum(-1)
        share = torch.softmax(weight.log() - distance / 2, dim=1)
        each = mean + variance / spread * (y[:, None] - mean)
        clean = (share[..., None] * each).sum(1)
        following = rho[i + 1] if i + 1 < len(rho) else torch.zeros((), dtype=torch.float64)
        y = clean + following / rho[i] * (y - clean)
    return y


@pytest.mark.parametrize("steps", [2, 5])
def test_the_gradient_is_that_of_autograd(steps: int) -> None:
    work = plane_work(DDIM(), steps)
    objective = Objective(work, 100)
    law = work.sampler.sde
    first = law.at(law.end).sigma / law.at(law.end).alpha
    v = torch.from_numpy(starts(law, steps)[0]).requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for batch, truth in enumerate(objective.truth):
        own = ddim_by_torch(work.prior(batch), v, first)
        np.testing.assert_allclose(
            own.detach().numpy(), objective.samples(v.detach().numpy(), batch).numpy(), rtol=0, atol=1e-9
        )
        total = total + (own - truth).square().mean(dim=1).sqrt().sum()
    (expected,) = torch.autograd.grad(total / work.samples, v)
    _, gradient, loss = objective.derivatives(v.detach().numpy(), 1e-4)
    assert loss == pytest.approx(float(total.detach()) / work.samples, rel=1e-9)
    np.testing.assert_allclose(gradient, expected.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("predictor", [DDIM(), DPMpp2M()], ids=lambda predictor: predictor.name)
@pytest.mark.parametrize("steps", [5, 6])
def test_it_is_better_than_unfitted_grids_on_other_samples(steps: int, predictor: Predictor) -> None:
    fit = LearnedTimes(nodes=60).fit(plane_work(predictor, steps, samples=32))
    losses = fit["losses"]
    assert isinstance(losses, list)
    assert losses == sorted(losses, reverse=True)
    judged = Objective(plane_work(predictor, steps, samples=64, seed=2), 200)
    law = judged.sampler.sde

    def loss(times: Array) -> float:
        return judged.loss(np.array([np.log(law.sigma(t) / law.alpha(t)) for t in times[1:]]))

    unfitted = [loss(grid_of(name).times(law, steps)) for name in ("polynomial", "time_uniform", "uniform")]
    unfitted += [judged.loss(v) for v in starts(law, steps)]
    assert loss(np.array(fit["times"])) < 0.9 * min(unfitted), (fit, unfitted)


def test_a_resumed_fit_is_the_same() -> None:
    work = plane_work(DDIM(), 3)
    states: list[dict[str, object]] = []
    whole = LearnedTimes(iterations=3).fit(
        dataclasses.replace(work, save=lambda state: states.append(dict(state)))
    )
    resumed = LearnedTimes(iterations=3).fit(dataclasses.replace(work, state=states[0]))  # type: ignore[arg-type]
    assert resumed == whole


def test_a_fit_that_is_stopped_after_its_last_step_is_the_same() -> None:
    work = plane_work(DDIM(), 2)
    states: list[dict[str, object]] = []
    whole = LearnedTimes().fit(dataclasses.replace(work, save=lambda state: states.append(dict(state))))
    assert len(states) < LearnedTimes().iterations  # it ended since the error no longer fell
    resumed = LearnedTimes().fit(dataclasses.replace(work, state=states[-1]))  # type: ignore[arg-type]
    assert resumed == whole


def test_a_place_at_the_end_of_the_grid_does_not_stop_the_others() -> None:
    """The step leads to below eps with every damping; along it the error falls."""
    objective = Objective(plane_work(DDIM(), 6), 60)
    v = starts(objective.sampler.sde, 6)[2]
    assert v[-1] == pytest.approx(objective.low)
    normal, gradient, loss = objective.derivatives(v, 0.01)
    step = -np.linalg.solve(normal + 100 * np.diag(np.diag(normal)), gradient)
    assert step[-1] < 0
    after, _, lower = improve(objective, v, normal, gradient, loss, 0.01)
    assert lower < 0.99 * loss
    assert objective.allows(after)


def test_one_step_has_nothing_to_learn() -> None:
    fit = LearnedTimes().fit(plane_work(DDIM(), 1))
    assert fit["times"] == times_of(plane_work(DDIM(), 1).sampler.sde, np.array([])) == [1.0]


def test_a_sampler_that_draws_noise_is_refused() -> None:
    with pytest.raises(BenchError, match="is for samplers without noise"):
        LearnedTimes().fit(plane_work(EulerAncestral(), 3))
