"""GITS: the least cost by brute force, and grids that are better than what they are compared with."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from bench import Array, Prediction, Tensor
from bench_fast.ddim import DDIM
from bench_fitted.gits import GITS, cheapest_path, error_sums
from bench_fitted.learned import Objective, Times
from bench_fitted.trajectory import move, node_times, trajectory
from tests.support.analytic import grid_of, sde
from tests.support.authors import mixture
from tests.support.fits import plane_work


def brute_force(cost: Array, steps: int, gamma: float) -> tuple[list[int], float]:
    """Every path, one by one."""
    best: tuple[list[int], float] = ([], np.inf)
    for inner in itertools.combinations(range(1, len(cost)), steps - 1):
        path = [0, *inner]
        ends = [*inner, cost.shape[1] - 1]
        total = sum(gamma**k * cost[i, j] for k, (i, j) in enumerate(zip(path, ends, strict=True)))
        if total < best[1]:
            best = path, float(total)
    return best


@pytest.mark.parametrize("gamma", [0.8, 1.0, 1.15])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
def test_the_recursion_finds_the_least_cost(steps: int, gamma: float) -> None:
    cost = np.random.default_rng(steps).uniform(size=(8, 9))
    path, value = cheapest_path(cost, steps, gamma)
    expected, least = brute_force(cost, steps, gamma)
    assert path == expected
    assert value == pytest.approx(least, rel=1e-12)


def test_local_errors_fall_at_second_order() -> None:
    """Of Euler's step: at half the step's length a quarter, for steps between neighbors."""
    work = plane_work(DDIM(), 3)
    means = []
    for count, node in ((100, 50), (199, 100)):
        sums = error_sums(work, 0, node_times(work.sampler.sde, count))
        means.append(sums[node, node + 1])
    assert means[0] / means[1] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("law", ["vp", "flow"])
def test_the_deviation_is_the_distance_from_the_straight_line(law: str) -> None:
    """In the plane by the cross product, one sample and one step at a time; flow begins in pure noise."""
    work = plane_work(DDIM(), 3)
    p = Prediction(mixture(), sde(law))
    work = dataclasses.replace(work, sizes=(8,), prediction=lambda _: p)
    times = node_times(p.sde, 6)
    sums = error_sums(work, 0, times, "deviation")
    states, data, clean = trajectory(work.prior(0), p, times)
    levels = [p.sde.at(float(t)) for t in times]

    def deviation(point: Tensor, sample: int) -> float:
        off = point - clean[sample]
        line = states[0][sample] - levels[0].alpha * clean[sample]
        return abs(float(line[0] * off[1] - line[1] * off[0])) / float(line.norm())

    for i, j in itertools.combinations(range(7), 2):
        right, own = clean, data[i]
        if j < 6:
            right = states[j] / levels[j].alpha
            own = move(states[i], data[i], levels[i], levels[j]) / levels[j].alpha
        total = sum(deviation(own[k], k) - deviation(right[k], k) for k in range(8))
        assert sums[i, j] == pytest.approx(total, rel=1e-9, abs=1e-9)


def test_both_errors_are_of_the_same_network_calls() -> None:
    p = Prediction(mixture(), sde("vp"))
    work = dataclasses.replace(plane_work(DDIM(), 5), prediction=lambda _: p)
    GITS().fit(work)
    calls = p.calls
    fit = GITS(error="deviation").fit(work)
    assert p.calls == 2 * calls > 0
    assert fit["times"] != GITS().fit(work)["times"]


@pytest.mark.parametrize("steps", [5, 6])
def test_it_is_better_than_unfitted_grids_on_other_samples(steps: int) -> None:
    fit = GITS().fit(plane_work(DDIM(), steps))
    judged = Objective(plane_work(DDIM(), steps, samples=64, seed=2), 200)
    losses = {"gits": judged.loss(places(judged, np.array(fit["times"])))}
    for name in ("polynomial", "time_uniform", "uniform"):
        losses[name] = judged.loss(places(judged, grid_of(name).times(judged.sampler.sde, steps)))
    assert losses["gits"] < 0.9 * min(loss for name, loss in losses.items() if name != "gits"), losses


def places(objective: Objective, times: Array) -> Array:
    """v of all but the first of the times."""
    law = objective.sampler.sde
    return np.array([np.log(law.sigma(t) / law.alpha(t)) for t in times[1:]])


def test_a_resumed_fit_is_the_same() -> None:
    work = plane_work(DDIM(), 5)
    states: list[dict[str, object]] = []
    whole = GITS().fit(dataclasses.replace(work, save=lambda state: states.append(dict(state))))
    resumed = GITS().fit(dataclasses.replace(work, state=states[0]))  # type: ignore[arg-type]
    assert resumed == whole


def test_more_nodes_than_steps_are_not_needed() -> None:
    times = GITS(nodes=3).fit(plane_work(DDIM(), 5))["times"]
    assert isinstance(times, list)
    assert len(times) == 5
    assert Times(tuple(times)).times(plane_work(DDIM(), 5).sampler.sde, 5).tolist() == times
