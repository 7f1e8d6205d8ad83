"""The data on which samplers are judged, against scipy and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from bench import NoiseLevel
from bench.closed_form.mixture import Mixture, MixtureModel
from bench.diffusion.levels import RowLevels
from bench.testing.laws import NARROW, SHAPE, Law, LawModel, mixture, normals, point
from bench.testing.probe import prior
from tests.support.analytic import sde


@pytest.mark.parametrize("data", [mixture(), normals(), normals(NARROW)])
def test_the_data_is_within_the_range_to_four_deviations(data: Law) -> None:
    corners = data.mean.abs() + 4 * data.variance.sqrt()
    assert float(corners.max() * (math.cos(data.angle) + math.sin(data.angle))) <= 1
    torch.testing.assert_close(data.weight.sum(0), torch.ones(data.shape, dtype=torch.float64))


def test_quantiles_are_those_of_scipy() -> None:
    law, z = mixture(), prior(3)
    x = law.quantiles(z)
    w, m, s = (array.numpy() for array in (law.weight, law.mean, law.variance.sqrt()))
    below = w[0] * stats.norm.cdf(x.numpy(), m[0], s[0]) + w[1] * stats.norm.cdf(x.numpy(), m[1], s[1])
    assert abs(below - stats.norm.cdf(z.numpy())).max() < 1e-14


def test_the_law_over_levels_is_the_marginal_at_each() -> None:
    law, z = mixture(), prior(2)
    levels = [sde("vp").at(t) for t in (0.9, 0.2, 1e-3)]
    over = law.over(levels)
    assert over.shape == (3, *SHAPE)
    states = over.states(over.quantiles(z[:, None]))
    for i, level in enumerate(levels):
        torch.testing.assert_close(states[:, i], law.states(law.at(level).quantiles(z)))


def test_nodes_give_means_and_deviations() -> None:
    law = mixture()
    x, w = law.nodes()
    torch.testing.assert_close(w.sum(0), torch.ones(SHAPE, dtype=torch.float64))
    torch.testing.assert_close((w * x).sum(0), law.center)
    torch.testing.assert_close((w * (x - law.center) ** 2).sum(0).sqrt(), law.spread)


def test_the_model_is_that_of_a_mixture_of_two() -> None:
    """Where one coordinate alone has two modes, the law is an ordinary mixture."""
    one = [torch.tensor([a, b], dtype=torch.float64) for a, b in ((0.3, 0.7), (-0.35, 0.25), (0.02, 0.01))]
    weight, mean, variance = (array.view(2, 1, 1, 1) for array in one)
    law = Law(weight, mean, variance).mapped(0.0, 1.0)
    data = Mixture(one[0].numpy(), law.mean.numpy(), law.variance.numpy())
    own = LawModel(law, (0.0, 1.0), torch.float64)
    other = MixtureModel(data, "cpu", torch.float64, color=None, range_=(0.0, 1.0))
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).view(9, 1, 1, 1)
    run = sde("vp")
    for t in (1e-3, 0.1, 0.9):
        level = run.at(t)
        torch.testing.assert_close(own.score(x, level), other.score(x, level), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(own.denoised(x, level), other.denoised(x, level), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(own.velocity(x, level), other.velocity(x, level), rtol=1e-9, atol=1e-9)


def test_a_rotation_leaves_the_noise_as_it_is() -> None:
    """R keeps norms, and data moves to another range about its middle."""
    law = mixture()
    x = prior(2)
    torch.testing.assert_close(law.coordinates(law.states(x)), x)
    assert float(law.states(x).norm()) == pytest.approx(float(x.norm()))
    unit = law.mapped(0.0, 1.0)
    torch.testing.assert_close(unit.states(unit.center), (law.states(law.center) + 1) / 2)


def test_at_alpha_zero_the_clean_data_is_its_mean() -> None:
    law = mixture()
    model = LawModel(law, (-1.0, 1.0), torch.float64)
    clean = model.denoised(prior(2), NoiseLevel(1.0, 0.0, 1.0))
    torch.testing.assert_close(law.coordinates(clean), law.center.expand_as(clean))


def test_the_flow_moves_quantiles() -> None:
    """``d/dt F_t^-1(Phi(z)) = velocity``, by a central difference."""
    law, z, run = mixture(), prior(2), sde("vp")
    model = LawModel(law, run.data_range, torch.float64)
    t, h = 0.2, 1e-5
    x, ahead, behind = (law.states(law.at(run.at(time)).quantiles(z)) for time in (t, t + h, t - h))
    torch.testing.assert_close((ahead - behind) / (2 * h), model.velocity(x, run.at(t)), rtol=1e-6, atol=1e-7)


def test_a_point_has_no_spread_and_items_are_clipped_to_the_range() -> None:
    assert float(point().variance.max()) == 0
    model = LawModel(mixture().mapped(0.0, 1.0), (0.0, 1.0), torch.float64)
    torch.testing.assert_close(model.clipped(3 * prior(1)), (3 * prior(1)).clamp(0, 1))


@pytest.mark.parametrize("data", [mixture(), normals()])
def test_scores_at_a_level_each_are_those_level_by_level(data: Law) -> None:
    run, x, t = sde("vp"), prior(4), np.array([1e-3, 0.2, 0.7, 1.0])
    model = LawModel(data, run.data_range, torch.float64)
    scores = model.score_of_rows(x, RowLevels(t, run.alpha(t), run.sigma(t)))
    expected = torch.cat([model.score(x[i : i + 1], run.at(float(t[i]))) for i in range(4)])
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9)
