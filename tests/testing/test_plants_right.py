"""The right plants are right: closed forms and true draws say so, not the kit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench import Corrector, Plugin, Solver
from bench.diffusion.prediction import Prediction
from bench.diffusion.sampler import Sampler
from bench.testing.probe import CountedNoise, Part
from tests.support.analytic import grid_of, sde
from tests.support.plugins import installed
from tests.testing.plants import right_correctors, right_noise, right_solvers, right_steps
from tests.testing.plants.right import RIGHT
from tests.testing.plants.stage import (
    SHAPE,
    WEIGHTS,
    exact_flow,
    gaussian,
    mixture,
    samples,
    starts,
)

STEADY: list[tuple[type[Part], int]] = [
    (right_steps.Ddim, 1), (right_steps.PixelClipped, 1), (right_steps.RangeClipped, 1),
    (right_steps.DynamicThreshold, 1), (right_steps.Microbatches, 1), (right_steps.FurtherMoves, 1),
    (right_steps.Thousandths, 1), (right_steps.RungeKutta, 4),
    (right_steps.Singlestep, 3), (right_steps.TwoStep, 2),
    (right_steps.DataTwoStep, 2), (right_steps.ThreeStep, 3),
    (right_steps.FixedPoint, 1), (right_steps.Rosenbrock, 2), (right_steps.Splitting, 2),
    (right_steps.Richardson, 2), (right_solvers.BothWays, 2),
    (right_solvers.HeunOnItsGrid, 2), (right_solvers.HeunToZero, 2),
    (right_solvers.Thousand, 2), (right_solvers.Substeps, 2), (right_solvers.Points, 2),
]  # fmt: skip


STEPS = (40, 125)
"""Numbers of steps between which errors must fall by their ratio to the power of the order."""


def at(plant: type[Part], steps: int) -> Part:
    """The plant with its own number of steps, where it has one."""
    knobs = {"steps": steps, "points": steps + 1}
    return plant.build({k: v for k, v in knobs.items() if k in {one.name for one in plant.parameters()}})


@pytest.mark.parametrize(("plant", "order"), STEADY, ids=[plant.name for plant, _ in STEADY])
def test_it_tends_to_the_exact_flow_with_its_order(plant: type[Part], order: int) -> None:
    run = sde("vp")
    exact = exact_flow(run, starts(4))
    errors = [
        float((samples(at(plant, n), gaussian, steps=n) - exact).square().mean().sqrt() / exact.std())
        for n in STEPS
    ]
    assert errors[1] < 0.04
    assert math.log(errors[0] / errors[1]) / math.log(STEPS[1] / STEPS[0]) > order - 0.35


@pytest.mark.parametrize(("plant", "order"), STEADY, ids=[plant.name for plant, _ in STEADY])
def test_it_tends_to_the_mixtures_flow(plant: type[Part], order: int) -> None:
    truth = samples(installed().build("solvers", "rk45", {"tol": 1e-9}))
    errors = [
        float((samples(at(plant, n), steps=n) - truth).square().mean().sqrt() / truth.std()) for n in STEPS
    ]
    assert errors[1] < 0.04
    assert errors[1] < errors[0] / (STEPS[1] / STEPS[0]) ** (min(order, 3) - 0.5)


@pytest.mark.parametrize("plant", [right_solvers.Adaptive, right_solvers.BoundedAdaptive])
def test_an_adaptive_one_is_as_exact_as_its_tolerance(plant: type[Solver]) -> None:
    exact = exact_flow(sde("vp"), starts(4))
    errors = [
        float((samples(plant.build({"tol": tol}), gaussian) - exact).abs().max()) for tol in (1e-3, 1e-6)
    ]
    assert errors[0] < 1e-2
    assert errors[1] < 3e-5


def test_pairs_are_ddims() -> None:
    assert torch.equal(samples(right_steps.Pairs()), samples(right_steps.Ddim()))


def test_flow_euler_tends_to_the_flow_of_straight_lines() -> None:
    exact = exact_flow(sde("flow"), starts(4))
    errors = [
        float((samples(right_steps.FlowEuler(), gaussian, law="flow", steps=n) - exact).abs().max())
        for n in STEPS
    ]
    assert errors[1] < 0.04
    assert errors[0] / errors[1] > (STEPS[1] / STEPS[0]) ** 0.7


NOISY: list[type[Part]] = [
    right_noise.EulerMaruyama, right_noise.Rademacher, right_noise.Uniform, right_noise.HalfDraws,
    right_noise.ChannelScale, right_noise.Tempered, right_noise.ShareOfNoise, right_noise.ClippedAncestral,
    right_noise.ExponentialSde, right_noise.StochasticHeun, right_noise.Churn, right_solvers.Restart,
]  # fmt: skip


@pytest.mark.parametrize("plant", NOISY, ids=[plant.name for plant in NOISY])
def test_a_noisy_one_has_the_mixtures_law(plant: type[Part]) -> None:
    """Weights, means and variances of 1024 samples at 125 steps, each to five of its standard errors."""
    run = sde("vp")
    model = mixture(run)
    weight = np.array(WEIGHTS)[:, None, None, None]
    mean = (weight * model.data.mean).sum(axis=0)
    variance = (weight * (model.data.variance + model.data.mean**2)).sum(axis=0) - mean**2
    still = np.indices(mean.shape).sum(axis=0) % 2 == 0
    ratios = []
    for n in STEPS:
        x = samples(at(plant, n // 2), steps=n, batch=1024)
        ratios.append(float((x.var(0).numpy() / variance)[still].mean()))
    share = float((model.component(x) == 0).double().mean())
    assert abs(share - WEIGHTS[0]) < 5 * math.sqrt(WEIGHTS[0] * WEIGHTS[1] / 1024)
    assert np.abs((x.mean(0).numpy() - mean) / np.sqrt(variance)).max() < 5 / 32
    # 16384 numbers of still coordinates: their variance is known to 1.1 %; what falls with 1 / n is taken off
    share = STEPS[0] / (STEPS[1] - STEPS[0])
    limit = ratios[1] + (ratios[1] - ratios[0]) * share
    assert abs(limit - 1) < 5 * 0.011 * math.hypot(1 + share, share)


MOVES: list[tuple[type[Corrector], float]] = [
    (right_correctors.Langevin, 1.0), (right_correctors.TwoMoves, 1.0), (right_correctors.AnnealedMoves, 1.0),
    (right_correctors.Preconditioned, 1.5),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "largest"), MOVES, ids=[plant.name for plant, _ in MOVES])
def test_a_corrector_keeps_a_level_but_for_its_bias(plant: type[Corrector], largest: float) -> None:
    """``v / (1 - k / 2)`` with k = e / v is where moves ``x' = x - k (x - m) + sqrt(2 k v) z`` settle."""
    ratio, k = settled(plant, moves=400)
    # 16384 numbers: their variance is known to 0.8 %
    assert 1 - 5 * 0.011 < ratio < 1 / (1 - largest * k / 2) + 5 * 0.011


def test_own_norms_keep_a_level_but_for_two_over_the_dimension_twice() -> None:
    """A density p settles as p / e, and e z^2 is above its mean by 2 / D: ``(1 + 2 / D)^2``."""
    ratio, _ = settled(right_correctors.OwnNorms, moves=400)
    assert abs(ratio - (1 + 2 / math.prod(SHAPE)) ** 2) < 5 * 0.011


def settled(plant: type[Corrector], moves: int) -> tuple[float, float]:
    """Variance over the exact one after moves at one level, from the exact marginal, and k at size 1."""
    run = sde("vp")
    step = Sampler(run, right_steps.Ddim(), steps=20, grid=grid_of("polynomial")).schedule()[15]
    mean = step.alpha * float(gaussian(run).data.mean.flat[0])
    variance = step.alpha**2 * float(gaussian(run).data.variance.flat[0]) + step.sigma**2
    x, noise, p = mean + math.sqrt(variance) * starts(512), CountedNoise(5), Prediction(gaussian(run), run)
    with torch.no_grad():
        for _ in range(moves):
            x = plant().step(x, step, p, noise).x
    # five standard errors of the mean of 16384 numbers
    assert abs(float(x.mean()) - mean) < 5 * math.sqrt(variance / x.numel()) * 1.1
    return float((x - mean).square().mean()) / variance, (0.1 * step.sigma) ** 2 / variance


def test_the_exploding_sde_is_its_own_marginal() -> None:
    """``d sigma^2 / dt = 2 f sigma^2 + g^2``, and alpha stays 1."""
    run = right_solvers.Exploding()
    t, little = np.linspace(0.01, 0.99, 9), 1e-5
    rate = (run.sigma(t + little) ** 2 - run.sigma(t - little) ** 2) / (2 * little)
    assert np.allclose(rate, 2 * run.drift(t) * run.sigma(t) ** 2 + run.diffusion(t) ** 2, rtol=1e-8)
    assert np.array_equal(run.alpha(t), np.ones(9))
    assert np.allclose(run.sigma(run.time_at(np.log([0.1, 1.0, 30.0]))), [0.1, 1.0, 30.0])


def test_every_right_plant_is_proven() -> None:
    proven: set[type[Plugin]] = {*NOISY, *(plant for plant, _ in STEADY), *(plant for plant, _ in MOVES)}
    proven |= {right_solvers.Adaptive, right_solvers.BoundedAdaptive, right_solvers.Exploding}
    proven |= {right_steps.FlowEuler, right_steps.Pairs, right_correctors.OwnNorms}
    assert {row.plant for row in RIGHT} == proven
