"""Time steps by the gradient of a sampler's error (the idea of LD3, Tong et al. 2024)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from bench import (
    SDE,
    Array,
    BenchError,
    FitWork,
    Grid,
    Noise,
    Prediction,
    Sampler,
    Tensor,
    draws_noise,
    param,
)
from bench_fitted.trajectory import FittedGrid, node_times, trajectory


class Times(Grid):
    """A grid of given times, those of one trial of a fit."""

    name = "trial_times"

    values_of_t: tuple[float, ...] = param(default=(), help="the times, from T down")

    def times(self, sde: SDE, steps: int) -> Array:
        return np.array(self.values_of_t)


class LearnedTimes(FittedGrid):
    """The times that minimize the distance of the sampler's samples from the flow's.

    With y_i the flow's clean data from sample i's prior noise and x_i(v) the sampler's, at the times of
    ``v = ln(sigma / alpha)``, the mean over samples of the root mean square over coordinates,

        L(v) = mean_i r_i,   r_i = sqrt(mean_j (x_ij(v) - y_ij)^2),

    is minimized over v_2, ..., v_N by Gauss and Newton's method with Levenberg's damping: with the derivative
    J of x through the whole sampler and the weights 1 / r_i, which make its gradient that of L,

        (J^T W J + damping diag(J^T W J)) dv = -J^T W (x - y).

    A network is told its noise level as a number that no derivative passes, so that J is taken by central
    differences of the whole run, 2 (N - 1) runs of N calls: this holds for every predictor, and for what the
    network's label does. A step that does not lower L is tried again with more damping. v starts at the best
    of `starts`.

    Source: Tong et al. (2024), "Learning to discretize denoising diffusion ODEs", which learns by
    backpropagation, with LPIPS and a bound on the initial noise, what is learned here by least squares.
    """

    name = "learned_times"

    nodes: int = param(default=40, help="steps of the flow's solution", low=2, high=1000)
    iterations: int = param(default=8, help="greatest number of derivatives", low=1, high=1000)
    difference: float = param(
        default=0.01, help="half the difference in v of a derivative", above=0, high=0.5
    )

    def fit(self, work: FitWork) -> Mapping[str, list[float]]:
        sampler = work.sampler
        trial = dataclasses.replace(sampler, grid=Times(tuple(node_times(sampler.sde, sampler.steps))))
        if draws_noise(trial):
            raise BenchError(
                f"{self.name} is for samplers without noise, whose right samples are the flow's: "
                "choose another --predictor"
            )
        objective = Objective(work, self.nodes)
        v = min(starts(sampler.sde, sampler.steps), key=objective.loss)
        damping, losses, ended = 0.01, list[float](), not len(v)
        if work.state is not None:
            state = np.array(work.state["v"], dtype=np.float64), np.array(work.state["losses"])
            v, losses, damping = state[0], state[1].tolist(), float(np.array(work.state["damping"]))
            ended = bool(work.state["ended"])
        while not ended and len(losses) < self.iterations:
            work.advance(len(losses), self.iterations)
            normal, gradient, loss = objective.derivatives(v, self.difference)
            after, damping, lower = improve(objective, v, normal, gradient, loss, damping)
            losses.append(loss)
            ended = lower > loss * (1 - SMALLEST_GAIN)
            work.save({"v": after.tolist(), "damping": damping, "losses": [*losses], "ended": ended})
            v = after
        work.advance(self.iterations, self.iterations)
        return {"times": times_of(sampler.sde, v), "losses": [*losses, objective.loss(v)]}


SMALLEST_GAIN = 1e-4
"""Relative fall of the error below which the fit ends."""


def starts(sde: SDE, steps: int) -> list[Array]:
    """Places to start from, v of all but the first time, (steps - 1,) each.

    Times even in sigma / alpha to the power 1 / 7, in t, and in the root of t: ``steps`` of them from T to
    eps, and the first ``steps`` of ``steps + 1``.
    """
    places = []
    for count in (steps, steps + 1):
        u = np.linspace(1, 0, count)
        even, roots = sde.eps + (sde.end - sde.eps) * u, sde.eps + (sde.end - sde.eps) * u**2
        for times in (node_times(sde, count), even, roots):
            levels = [sde.at(float(t)) for t in times[1:steps]]
            places.append(np.array([np.log(level.sigma / level.alpha) for level in levels]))
    return places


def times_of(sde: SDE, v: Array) -> list[float]:
    """The times of v, with T before them."""
    return [sde.end, *map(float, sde.time_at(np.array(v)))] if len(v) else [sde.end]


class Objective:
    """L(v), its gradient and the Gauss-Newton matrix, on the samples of a fit.

    Args:
        work: The sampler and its samples.
        nodes: Steps of the flow's solution.
    """

    def __init__(self, work: FitWork, nodes: int) -> None:
        self.work = work
        self.sampler: Sampler = work.sampler
        self.low, self.high = self.sampler.sde.log_sigma_ratio_range
        times = node_times(self.sampler.sde, nodes)
        self.truth = [
            trajectory(work.prior(i), work.prediction(i), times)[2].double() for i in range(len(work.sizes))
        ]

    def allows(self, v: Array) -> bool:
        """Whether v are places of a grid: they fall, from below T's to eps's or above."""
        whole = np.concatenate([[self.high], v, [self.low]])
        gaps = -np.diff(whole)
        return bool((gaps[:-1] > 1e-3).all() and gaps[-1] >= 0)

    def samples(self, v: Array, batch: int) -> Tensor:
        """The sampler's clean data (B, ...) of a batch, in float64."""
        grid = Times(tuple(times_of(self.sampler.sde, v)))
        p: Prediction = self.work.prediction(batch)
        x = dataclasses.replace(self.sampler, grid=grid).run(self.work.prior(batch), p, _no_noise, _no_noise)
        return x.double()

    def loss(self, v: Array) -> float:
        """L(v)."""
        sums = [float(_rms(self.samples(v, i) - y).sum()) for i, y in enumerate(self.truth)]
        return sum(sums) / self.work.samples

    def derivatives(self, v: Array, difference: float) -> tuple[Array, Array, float]:
        """The matrix J^T W J, the gradient of L, and L, at v.

        Args:
            v: Places (N - 1,).
            difference: Half the difference of v in a derivative; less where places are close. A place at
                eps has places above it alone: its derivative is that of the parabola through three.
        """
        import torch

        normal, gradient, loss = np.zeros((len(v), len(v))), np.zeros(len(v)), 0.0
        gaps = -np.diff(np.concatenate([[self.high], v, [self.low]]))
        for batch, y in enumerate(self.truth):
            error = self.samples(v, batch) - y
            rms = _rms(error)
            loss += float(rms.sum())
            weight = 1 / (rms.clamp_min(1e-12) * error[0].numel())
            columns = []
            for k in range(len(v)):
                h = min(difference, 0.4 * gaps[k], 0.4 * gaps[k + 1] if k + 1 < len(v) else difference)
                below = min(h, v[k] - self.low)
                step = np.zeros(len(v))
                if below > h / 2:
                    step[k] = below
                    ahead, behind = self.samples(v + step, batch), self.samples(v - step, batch)
                    slope = (ahead - behind) / (2 * below)
                else:  # at eps: of the second order too, from places above
                    step[k] = h / 2
                    near, far = self.samples(v + step, batch), self.samples(v + 2 * step, batch)
                    slope = (4 * near - far - 3 * (error + y)) / h
                columns.append(slope.flatten(1))
            jacobian = torch.stack(columns)
            weighted = jacobian * weight[None, :, None]
            normal += torch.einsum("kbd,lbd->kl", weighted, jacobian).cpu().numpy()
            gradient += torch.einsum("kbd,bd->k", weighted, error.flatten(1)).cpu().numpy()
        count = self.work.samples
        return normal / count, gradient / count, loss / count


def improve(
    objective: Objective, v: Array, normal: Array, gradient: Array, loss: float, damping: float
) -> tuple[Array, float, float]:
    """The first step of growing damping that lowers the loss; v itself where none of ten does.

    A step of the last place to below that of eps leads to eps: v may start there.

    Returns:
        The places, the next damping, and their loss.
    """
    diagonal = np.diag(np.diag(normal).clip(1e-12))
    for _ in range(10):
        trial = v - np.linalg.solve(normal + damping * diagonal, gradient)
        trial[-1] = max(trial[-1], objective.low)
        if objective.allows(trial):
            lower = objective.loss(trial)
            if lower < loss:
                return trial, max(damping / 5, 1e-4), lower
        damping *= 5
    return v, damping, loss


def _rms(error: Tensor) -> Tensor:
    """Root mean square over coordinates, (B,)."""
    return error.flatten(1).square().mean(dim=1).sqrt()


def _no_noise(x: Tensor) -> Tensor:
    del x
    raise BenchError("a fit of times draws no noise")


_: Noise = _no_noise
