"""Batches of tasks that follow the probability flow, on the thinned Gaussian checkpoint, in float64."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from bench import SDE, Array, BatchContext, Model, Noise, NoiseLevel, Prediction, Sampler, Task, Tensor
from bench.closed_form.mixture import MixtureModel
from bench.diffusion.noise import noise_stream
from bench.testing.probe import GAUSSIAN
from tests.support.analytic import sde
from tests.support.checks import context
from tests.support.plugins import installed


def build_task(name: str, **parameters: Any) -> Any:
    """A registered task."""
    task: Task = installed().build("tasks", name, parameters)
    return task


def flow_sde(name: str) -> SDE:
    """An SDE with the eps of likelihoods."""
    return sde(name, eps=1e-5)


def thin_model(run: SDE, checkpoint: str = GAUSSIAN) -> MixtureModel:
    """An exact checkpoint on every fourth frequency."""
    data = context().truth(checkpoint, run)
    return MixtureModel(data, "cpu", torch.float64, color=None, range_=run.data_range)


def flow_batch(
    run: SDE, model: Model, states: Tensor, tol: float = 1e-5, solver: str = "rk45", **changes: Any
) -> BatchContext:
    """A batch whose images are states (n, ...), under a solver of a tolerance."""
    sampler = Sampler(run, solver=installed().build("solvers", solver, {"tol": tol}), denoise="none")
    noise = functools.cache(lambda role: noise_stream(0, 0, role, "cpu"))
    fields: dict[str, Any] = {"noise": noise} | changes
    p = Prediction(model, run)
    return BatchContext(sampler, p, torch.device("cpu"), len(states), 0, model.images(states), **fields)


def draws(model: MixtureModel, count: int) -> Tensor:
    """Draws of the data distribution: states."""
    return model.draw(count, data_noise())


def data_noise() -> Noise:
    """The stream that data is drawn from."""
    return noise_stream(0, 0, "data", "cpu")


def normal_latents(seed: int, n: int = 500, shape: tuple[int, ...] = (3, 4, 4)) -> Tensor:
    """Standard normal latents (n, *shape)."""
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def thin_gaussian(run: SDE) -> tuple[Array, Array]:
    """Mean and variance of the thinned Gaussian data."""
    data = context().truth(GAUSSIAN, run)
    return data.mean[0], data.variance[0]


def marginal(run: SDE, level: NoiseLevel) -> tuple[Array, Array]:
    """Mean and variance of the thinned Gaussian data at a noise level."""
    mean, variance = thin_gaussian(run)
    return level.alpha * mean, level.alpha**2 * variance + level.sigma**2


def marginal_variances(run: SDE) -> tuple[Array, Array, Array]:
    """Mean of the thinned Gaussian data, and the variances of its marginals at eps and at T."""
    mean, variance = thin_gaussian(run)
    low, high = (run.at(t) for t in (run.eps, run.end))
    v_low, v_high = (level.alpha**2 * variance + level.sigma**2 for level in (low, high))
    return mean, v_low, v_high


def pushed(run: SDE, x: Array) -> Array:
    """x(T) of states x at eps (n, ...): a Gaussian's flow keeps every quantile."""
    mean, v_low, v_high = marginal_variances(run)
    low, high = (run.at(t) for t in (run.eps, run.end))
    latent: Array = high.alpha * mean + np.sqrt(v_high / v_low) * (x - low.alpha * mean)
    return latent


def solver_error(result: Tensor, truth: Tensor, stretch: Tensor | float = 1.0) -> float:
    """The error in the norm that solvers compare with their tolerance: root mean square over ``1 + |truth|``.

    ``stretch``: how much the flow magnifies an error of the state.
    """
    return float((((result - truth) / (stretch * (1 + truth.abs()))) ** 2).mean().sqrt())
