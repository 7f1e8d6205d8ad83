"""The exact moments of completion by replacement on Gaussian data: a recursion from the equations alone."""

from __future__ import annotations

import numpy as np
import torch

from bench import Array, LangevinLike, LinearPredictor, Sampler
from bench.closed_form.dct import from_dct
from bench.closed_form.mixture import on_range
from bench_tasks.conditional import conditional
from bench_tasks.known import Completion
from tests.support.completions import thinned


def rotation(axes: Array, side: int) -> Array:
    """(D, D): from coefficients of `thinned` images to decoupled pixels, channel by channel."""
    shape, count = (3, side, side), 3 * side * side
    _, color = thinned(side)
    images = from_dct(torch.eye(count, dtype=torch.float64).view(count, *shape), color).numpy()
    return np.asarray(np.einsum("dc,bchw->bdhw", axes, images).reshape(count, count).T)


def replaced(sampler: Sampler, task: Completion, side: int) -> float:
    """``conditional_fd`` of replacement on `thinned` images, without sampling noise.

    Given the known data y of an image x0, the state has the mean ``M (x0 - mu) + c`` and a covariance S that
    does not depend on x0: x0 enters through its known part alone, Q x0. With v = alpha^2 lam + sigma^2 a step
    maps x to ``a x + b (alpha mu - x) / v + g z``, and the replacement maps that to
    ``(1 - Q) x + Q (alpha x0 + sigma z)``. Corrector first; a corrector's step must not depend on the state.
    """
    low, high = sampler.sde.data_range
    data, color = thinned(side)
    moved = on_range(data, (low, high), color)
    mu, lam = moved.mean[0].ravel(), moved.variance[0].ravel()
    axes, mask = task.part((3, side, side))
    known = rotation(axes, side)[mask.ravel() > 0]
    q, one = known.T @ known, np.eye(len(mu))
    m, c, s = np.zeros_like(one), np.zeros_like(mu), one * sampler.sde.prior_std**2

    def step(alpha: float, sigma: float, a: float, b: float) -> None:
        nonlocal m, c, s
        v = alpha**2 * lam + sigma**2
        factor = a - b / v
        m, c, s = factor[:, None] * m, factor * c + b * alpha * mu / v, factor[:, None] * s * factor

    def put_in(alpha: float, sigma: float) -> None:
        nonlocal m, c, s
        m, c = (one - q) @ m + alpha * q, (one - q) @ c + alpha * q @ mu
        s = (one - q) @ s @ (one - q) + sigma**2 * q

    predictor, corrector = sampler.predictor, sampler.corrector
    assert isinstance(predictor, LinearPredictor)
    for level in sampler.schedule():
        for _ in range(0 if corrector is None else corrector.calls):
            assert isinstance(corrector, LangevinLike)
            e = corrector.size(level, None, None)
            step(level.alpha, level.sigma, 1.0, e)
            s = s + 2 * e * one
            put_in(level.alpha, level.sigma)
        a, b, g = predictor.coefficients(level)
        step(level.alpha, level.sigma, a, b)
        # a run ends on the mean, without its last noise
        s = s if level.last else s + g**2 * one
        put_in(level.alpha_next, level.sigma_next)
    truth = conditional(moved.variance[0], color, axes, mask > 0)
    shift = ((truth.gain @ m * np.sqrt(lam)) ** 2).sum() + ((truth.gain @ (c - mu)) ** 2).sum()
    v = np.einsum("ij,jk,ik->i", truth.gain, s, truth.gain)
    return float(shift + ((np.sqrt(v) - np.sqrt(truth.variance)) ** 2).sum()) / (high - low) ** 2
