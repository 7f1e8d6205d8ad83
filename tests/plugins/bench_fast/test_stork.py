"""STORK: the authors' own step, the method's stability polynomial, and what order its step has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import eval_gegenbauer

from bench import Prediction, Sampler
from bench_fast.stork import (
    STORK,
    coefficients,
    consistent_places,
    lagrange,
    published_places,
    slopes,
    step_weights,
)
from bench_fitted.trajectory import node_times, trajectory
from tests.support.analytic import grid_of, sde
from tests.support.authors import mixture

AUTHORS = {
    10: (0.9999999999999994, -0.18069655058044654, 0.11485594293565317, -0.034159397826061116),
    50: (0.9999999999999998, -0.1855897881152991, 0.1222175260840596, -0.0366277393317058),
}
"""What ``STORKScheduler.step_flow_matching_2`` of ZT220501/STORK (fd991ca), with ``derivative_order=2``,
makes of the state, the velocity at t = 0.6 and those at 0.7 and 0.8, on the way to 0.5: its answers to unit
tensors, by s. Some of its numbers are float32."""


@pytest.mark.parametrize("s", AUTHORS)
def test_a_step_is_the_authors(s: int) -> None:
    own = step_weights(STORK(substeps=s, expansion="velocity"), sde("flow"), 0.6, 0.5, (0.6, 0.7, 0.8))
    np.testing.assert_allclose(own, AUTHORS[s], rtol=0, atol=1e-7)


@pytest.mark.parametrize("s", [2, 5, 50])
@pytest.mark.parametrize("z", [-20.0, -3.0, -0.1, 0.2])
def test_the_stages_are_the_gegenbauer_method(s: int, z: float) -> None:
    """Of dx/dt = x the step by z is ``1 - b C(1) + b C(1 + m z)``, C Gegenbauer's polynomial of index 3/2."""
    b = 4 * (s - 1) * (s + 4) / (3 * s * (s + 1) * (s + 2) * (s + 3))
    m = 6 / ((s + 4) * (s - 1))
    expected = 1 - b * eval_gegenbauer(s, 1.5, 1.0) + b * eval_gegenbauer(s, 1.5, 1 + m * z)
    before, now = 1.0, 1 + z * coefficients(s)[0][0]
    for shift, mu, nu, gamma in coefficients(s)[1:]:
        ahead = mu * now + nu * before + (1 - mu - nu) + z * (shift * now + gamma)
        before, now = now, ahead
    assert now == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_places() -> None:
    """Those of the states lead to the end; the authors' are near them."""
    assert consistent_places(51)[50] == pytest.approx(consistent_places(50)[49], abs=0.05)
    for s in (3, 10, 50):
        own, published = np.array(consistent_places(s)), np.array(published_places(s))
        assert own[0] == published[0] == 0
        assert (np.diff(own) > -1e-12).all()
        assert np.abs(own - published).max() < 2 / s


def test_the_polynomial_takes_its_values() -> None:
    times = (0.5, 0.6, 0.8)
    for i, t in enumerate(times):
        assert lagrange(times, np.array([t]))[:, 0] == pytest.approx(np.eye(3)[i], abs=1e-12)
    assert np.dot(lagrange(times, np.array([0.3]))[:, 0], np.square(times)) == pytest.approx(0.09, rel=1e-12)


def test_the_slope_is_the_flows() -> None:
    law, p = sde("vp"), Prediction(mixture(), sde("vp"))
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    level = law.at(0.4)
    own, of_noise = (float(one[0]) for one in slopes(law, np.array([0.4])))
    np.testing.assert_allclose(
        (own * x + of_noise * p.noise(x, level)).numpy(), p.velocity(x, level).numpy(), rtol=1e-10
    )


@pytest.mark.parametrize("expansion", ["noise", "velocity"])
def test_it_comes_to_the_flow_at_second_order(expansion: str) -> None:
    """With the stages at their own times; on even times in t, to clean data."""
    law = sde("vp")
    prior = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = Prediction(mixture(), law)
    truth = trajectory(prior, p, node_times(law, 3000))[2]
    errors = []
    for steps in (200, 400):
        predictor = STORK.build({"expansion": expansion, "places": "consistent", "substeps": 10})
        sampler = Sampler(law, predictor, steps=steps, grid=grid_of("logsnr"))
        x = sampler.run(prior, p, torch.randn_like, torch.randn_like)
        errors.append(float((x - truth).norm()))
    order = float(np.log2(errors[0] / errors[1]))
    assert order > 1.7, errors
