"""STORK: the authors' own step, the method's stability polynomial, and what order its step has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import eval_gegenbauer

from bench import BenchError, Prediction, Sampler
from bench.testing.kit import check
from bench_fast.stork import STORK, Stages, gegenbauer, lagrange, rock4, slopes, step_weights
from bench_fitted.trajectory import node_times, trajectory
from tests.support.analytic import grid_of, sde
from tests.support.authors import mixture
from tests.support.plugins import installed

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


STORK4 = {
    ("published", "velocity", 5): (1.0, -0.1874590129879997, 0.13325682946321765, -0.04164075894262006),
    ("published", "noise", 5): (
        1.6948207379502633,
        -1.55519703907144,
        1.593955941648387,
        -0.9903663324108936,
        0.23992715242729065,
    ),
    ("published", "velocity", 10): (
        0.9999999999999999,
        -0.190027332512693,
        0.13330045109750183,
        -0.04165563836606053,
    ),
    ("published", "noise", 10): (
        1.720447586974414,
        -1.58156519200906,
        1.5948182313542896,
        -0.9910033251753134,
        0.24009666617867204,
    ),
    ("published", "velocity", 50): (
        0.9999999999999999,
        -0.19156052450670313,
        0.1333310540637754,
        -0.04166590660762394,
    ),
    ("published", "noise", 50): (
        1.736086219546753,
        -1.5976837211512178,
        1.5953930031903272,
        -0.991420797873481,
        0.24020756097970547,
    ),
    ("published", "velocity", 98): (
        0.9999999999999956,
        -0.19163706014658233,
        0.13333269524585287,
        -0.0416664539472178,
    ),
    ("published", "noise", 98): (
        1.7368737579723934,
        -1.5984924361294808,
        1.5954133443177438,
        -0.9914338520969388,
        0.24021083270989277,
    ),
    ("consistent", "velocity", 5): (1.0, -0.1916666666666662, 0.13333333333333278, -0.04166666666666647),
    ("consistent", "noise", 5): (
        1.737181353629092,
        -1.5986234644210375,
        1.5949502730693066,
        -0.9910318763568492,
        0.24009356776000373,
    ),
    ("consistent", "velocity", 10): (
        0.9999999999999999,
        -0.19166666666666637,
        0.13333333333333283,
        -0.04166666666666646,
    ),
    ("consistent", "noise", 10): (
        1.7371795126085563,
        -1.5987390108781065,
        1.5952484752853584,
        -0.9912882160528941,
        0.24016763773998004,
    ),
    ("consistent", "velocity", 50): (
        0.9999999999999999,
        -0.19166666666666565,
        0.1333333333333316,
        -0.04166666666666607,
    ),
    ("consistent", "noise", 50): (
        1.7371783389163777,
        -1.598805723319376,
        1.5954229626665235,
        -0.9914405056983668,
        0.2402124596376971,
    ),
    ("consistent", "velocity", 98): (
        0.9999999999999956,
        -0.19166666666666285,
        0.1333333333333276,
        -0.041666666666664645,
    ),
    ("consistent", "noise", 98): (
        1.7371785073534853,
        -1.5988055402819046,
        1.595421733569688,
        -0.9914393688475627,
        0.2402122038227395,
    ),
}
"""The same of ``step_flow_matching_4`` (``velocity``), and of ``step_noise_4`` after three even steps: of the
state and of the noises at t = 0.6, 0.7, 0.8 and 0.9, with betas from 1e-4 to 0.02 in 1000 steps; all float32
made float64. ``consistent``: with Y_0 before Y_1 in the recurrence, not as in the code."""


@pytest.mark.parametrize(("places", "expansion", "degree"), STORK4)
def test_a_step_of_stork4_is_the_authors(places: str, expansion: str, degree: int) -> None:
    order, law = (2, sde("flow")) if expansion == "velocity" else (3, sde("vp"))
    method = STORK.build(
        {"method": "stork4", "substeps": degree, "order": order, "expansion": expansion, "places": places}
    )
    own = step_weights(method, law, 0.6, 0.5, (0.6, 0.7, 0.8, 0.9)[: order + 1])
    np.testing.assert_allclose(own, STORK4[places, expansion, degree], rtol=0, atol=1e-12)


def growth(stages: Stages, z: float) -> float:
    """x' of dx/dt = x from 1, in a step of z."""
    a, b, _ = stages
    return float(1 + z * b @ np.linalg.solve(np.eye(len(b)) - z * a, np.ones(len(b))))


@pytest.mark.parametrize("s", [2, 5, 50])
@pytest.mark.parametrize("z", [-20.0, -3.0, -0.1, 0.2])
def test_the_stages_are_the_gegenbauer_method(s: int, z: float) -> None:
    """Of dx/dt = x the step by z is ``1 - b C(1) + b C(1 + m z)``, C Gegenbauer's polynomial of index 3/2."""
    b = 4 * (s - 1) * (s + 4) / (3 * s * (s + 1) * (s + 2) * (s + 3))
    m = 6 / ((s + 4) * (s - 1))
    expected = 1 - b * eval_gegenbauer(s, 1.5, 1.0) + b * eval_gegenbauer(s, 1.5, 1 + m * z)
    for published in (False, True):
        assert growth(gegenbauer(s, published=published), z) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_published_recurrence_of_stork4_falls_short() -> None:
    assert rock4(50, published=True).b.sum() == pytest.approx(0.9990, abs=5e-5)
    assert rock4(5, published=True).b.sum() == pytest.approx(0.958, abs=5e-4)


def test_stork4_takes_the_least_degree_that_is_not_below() -> None:
    assert len(STORK(method="stork4", substeps=11, places="consistent").stages().b) == 24
    assert STORK(method="stork4", substeps=98).resolve(sde("vp")).convergence_order is None
    with pytest.raises(BenchError, match="method=stork4 takes substeps of 98 at most, not 99"):
        Sampler(sde("vp"), STORK(method="stork4", substeps=99), steps=4)


@pytest.mark.parametrize("parameters", [{}, {"method": "stork4", "places": "consistent"}])
def test_it_passes_the_kit(parameters: dict[str, str]) -> None:
    part = STORK.build(parameters)
    assert not check(part, registry=installed(), sdes=("vp",), plot=False).failures


def test_places() -> None:
    """Those of the states lead to the end; the authors' are near them."""
    assert gegenbauer(51, published=False).c[50] == pytest.approx(
        gegenbauer(50, published=False).c[49], abs=0.05
    )
    for s in (3, 10, 50):
        own, published = (gegenbauer(s, published=published).c for published in (False, True))
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


@pytest.mark.parametrize(
    ("method", "order", "expansion", "expected"),
    [
        ("stork2", 2, "noise", 2),
        ("stork2", 2, "velocity", 2),
        ("stork4", 2, "noise", 3),
        ("stork4", 3, "noise", 4),
        ("stork4", 3, "velocity", 4),
    ],
)
def test_it_comes_to_the_flow_at_its_order(method: str, order: int, expansion: str, expected: int) -> None:
    """With the stages in their own places, to clean data; the first steps' error is smaller still."""
    law = sde("vp")
    prior = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = Prediction(mixture(), law)
    ends = []
    for steps in (100, 200, 1600):
        predictor = STORK.build(
            {"method": method, "order": order, "expansion": expansion, "places": "consistent", "substeps": 10}
        )
        sampler = Sampler(law, predictor, steps=steps, grid=grid_of("polynomial"))
        ends.append(sampler.run(prior, p, torch.randn_like, torch.randn_like))
    errors = [float((x - ends[-1]).norm()) for x in ends[:2]]
    assert predictor.convergence_order == expected
    assert float(np.log2(errors[0] / errors[1])) > expected - 0.3, errors
    truth = trajectory(prior, p, node_times(law, 3000))[2]
    assert float((ends[-1] - truth).norm()) < 1e-4
