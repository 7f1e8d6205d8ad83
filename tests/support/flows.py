"""Work of the tasks that follow the probability flow, on the thinned Gaussian checkpoint, in float64."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from bench import SDE, Array, BatchContext, Model, Noise, Prediction, Sampler, Task, Tensor
from bench.closed_form.mixture import MixtureModel
from bench.diffusion.noise import noise_stream
from bench.testing import probe
from tests.support.analytic import sde
from tests.support.checks import context
from tests.support.plugins import installed


def task(name: str, **given: Any) -> Any:
    """A registered task."""
    made: Task = installed().build("tasks", name, given)
    return made


def law(name: str) -> SDE:
    """An SDE with the eps of likelihoods."""
    return sde(name, eps=1e-5)


def thin(chosen: SDE, checkpoint: str = probe.GAUSSIAN) -> MixtureModel:
    """An exact checkpoint on every fourth frequency."""
    data = context().truth(checkpoint, chosen)
    return MixtureModel(data, "cpu", torch.float64, colour=None, range_=chosen.data_range)


def work(
    chosen: SDE, model: Model, states: Tensor, tol: float = 1e-5, solver: str = "rk45", **changes: Any
) -> BatchContext:
    """Work on states (n, ...)."""
    sampler = Sampler(chosen, solver=installed().build("solvers", solver, {"tol": tol}), denoise="none")
    noise = functools.cache(lambda role: noise_stream(0, 0, role, "cpu"))
    known: dict[str, Any] = {"noise": noise} | changes
    score = Prediction(model, chosen)
    return BatchContext(sampler, score, torch.device("cpu"), len(states), 0, model.images(states), **known)


def draws(model: MixtureModel, count: int) -> Tensor:
    """Draws of the data distribution: states."""
    return model.draw(count, data_noise())


def data_noise() -> Noise:
    """The stream that data is drawn from."""
    return noise_stream(0, 0, "data", "cpu")


def marginal_variances(chosen: SDE) -> tuple[Array, Array, Array]:
    """Mean of the thinned Gaussian data, and the variances of its marginals at eps and at T."""
    mean, variance = context().gaussian(chosen)
    low, high = (chosen.at(t) for t in (chosen.eps, chosen.end))
    v_low, v_high = (level.alpha**2 * variance + level.sigma**2 for level in (low, high))
    return mean, v_low, v_high


def pushed(chosen: SDE, x: Array) -> Array:
    """x(T) of states x at eps (n, ...): a Gaussian's flow keeps every quantile."""
    mean, v_low, v_high = marginal_variances(chosen)
    low, high = (chosen.at(t) for t in (chosen.eps, chosen.end))
    found: Array = high.alpha * mean + np.sqrt(v_high / v_low) * (x - low.alpha * mean)
    return found
