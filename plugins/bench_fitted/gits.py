"""GITS (Chen et al. 2024): time steps by dynamic programming, from the shape of a few fine trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from bench import Array, FitWork, NoiseLevel, Tensor, param
from bench_fitted.trajectory import FittedGrid, node_times, trajectory


class GITS(FittedGrid):
    """The N of ``nodes`` times that minimize the sum of the local errors of Euler's steps between them.

    On fine trajectories x(t_1), ..., x(t_M) of the flow, with x(t_(M+1)) the clean data at their end,
    c_ij is the mean over samples of ``|| x(t_j) - x_ij || / alpha_j``, where x_ij is the state at t_j of one
    step from x(t_i) along the slope there. With ``error=deviation`` it is that of ``d(x_ij / alpha_j) -
    d(x(t_j) / alpha_j)``, d the distance from the straight line through x(t_1) / alpha_1 and the clean data.
    Over the paths of N steps from T to clean data the recursion

        V_k(i) = min_j  c_ij + gamma V_(k-1)(j),   V_1(i) = c_i(M+1),

    gives the least cost V_N(1), and its minima the times. The sampler plays no part: what is fitted for one
    may be used by another. The last step leads to clean data from the path's last time, which eps need
    not be.

    Source: Chen et al. (2024), "On the trajectory regularity of ODE-based diffusion sampling", Algorithm 1,
    with its gamma; the deviation is the default of its authors' code.
    """

    name = "gits"
    any_sampler = True

    nodes: int = param(default=60, help="times among which the grid's are chosen", low=3, high=1000)
    error: Literal["distance", "deviation"] = param(
        default="distance",
        help="a step's error: distance from the trajectory, or how much further from the straight line it is",
    )
    gamma: float = param(default=1.15, help="weight of the errors of later steps", above=0, high=10)

    def fit(self, work: FitWork) -> Mapping[str, object]:
        sde, steps = work.sampler.sde, work.sampler.steps
        times = node_times(sde, max(self.nodes, steps))
        total = np.zeros((len(times), len(times) + 1))
        first = 0
        if work.state is not None:
            total, first = np.array(work.state["total"]), int(np.array(work.state["batches"]))
        for batch in range(first, len(work.sizes)):
            work.advance(batch, len(work.sizes))
            total += error_sums(work, batch, times, self.error)
            work.save({"total": total.tolist(), "batches": batch + 1})
        work.advance(len(work.sizes), len(work.sizes))
        path, cost = cheapest_path(total / work.samples, steps, self.gamma)
        return {"times": times[path].tolist(), "cost": [cost]}


def error_sums(
    work: FitWork, batch: int, times: Array, error: Literal["distance", "deviation"] = "distance"
) -> Array:
    """c_ij of one batch, summed over its samples: (M, M + 1), of which the last column is clean data."""
    import torch

    p = work.prediction(batch)
    states, data, clean = trajectory(work.prior(batch), p, times)
    levels = [p.sde.at(float(t)) for t in times]
    sums = np.zeros((len(times), len(times) + 1))
    alpha, sigma = (torch.tensor(values, dtype=torch.float64).to(clean) for values in _columns(levels))
    scale = (-1, *(1,) * clean.dim())
    truth = torch.stack(
        [x / level.alpha if level.alpha else x for x, level in zip(states, levels, strict=True)]
    )
    # along x(t_1) / alpha_1 - clean, whose direction has a limit at alpha = 0
    direction = (states[0] - levels[0].alpha * clean).flatten(1)
    direction = direction / direction.norm(dim=1, keepdim=True)

    def error_of(x: Tensor, right: Tensor) -> Array:
        if error == "distance":
            return _norms((x - right).flatten(2))
        return _norms(_across((x - clean).flatten(2), direction)) - _norms(
            _across((right - clean).flatten(2), direction)
        )

    for i, (x, expected, level) in enumerate(zip(states, data, levels, strict=True)):
        # `move` to all later nodes, over alpha there
        ratio = (sigma[i + 1 :] / (level.sigma * alpha[i + 1 :])).view(scale)
        ahead = x * ratio + expected * (1 - ratio * level.alpha)
        sums[i, i + 1 : -1] = error_of(ahead, truth[i + 1 :])
        sums[i, -1] = error_of(expected[None], clean[None])[0]
    return sums


def _columns(levels: Sequence[NoiseLevel]) -> tuple[list[float], list[float]]:
    return [level.alpha for level in levels], [level.sigma for level in levels]


def _across(x: Tensor, direction: Tensor) -> Tensor:
    """The part of x (n, B, D) that is orthogonal to unit vectors (B, D)."""
    return x - (x * direction).sum(dim=2, keepdim=True) * direction


def _norms(error: Tensor) -> Array:
    """The sum over samples of the norm of the error, (n, B, D) to (n,)."""
    norms: Array = error.norm(dim=2).double().sum(dim=1).cpu().numpy()
    return norms


def cheapest_path(cost: Array, steps: int, gamma: float) -> tuple[list[int], float]:
    """The path of ``steps`` steps from the first node to the end whose cost is least.

    A path i_1 = 0 < i_2 < ... < i_steps costs ``c(i_1, i_2) + gamma c(i_2, i_3) + ...``, up to the step from
    the last node to the end, the last column.

    Args:
        cost: c_ij (M, M + 1) of a step from node i to node j > i.
        steps: Number of steps, at most M.
        gamma: Factor of the costs of later steps.

    Returns:
        The nodes at which steps start (steps,), and the cost.
    """
    count = len(cost)
    inner = np.where(np.triu(np.ones((count, count), dtype=bool), 1), cost[:, :-1], np.inf)
    values, choices = [cost[:, -1]], []
    for _ in range(steps - 1):
        sums = inner + gamma * values[-1]
        choices.append(sums.argmin(axis=1))
        values.append(sums.min(axis=1))
    path = [0]
    for choice in reversed(choices):
        path.append(int(choice[path[-1]]))
    return path, float(values[-1][0])
