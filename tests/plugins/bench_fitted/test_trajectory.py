"""The flow's fine trajectories and their times."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from bench import BenchError, Prediction
from bench.checkpoints.load import load_model
from bench_fitted.gits import GITS
from bench_fitted.trajectory import node_times, trajectory
from tests.support.analytic import sde
from tests.support.authors import mixture
from tests.support.fits import artifact
from tests.support.plugins import installed


@pytest.mark.parametrize("law", ["ve", "vp", "subvp", "flow"])
def test_nodes_fall_from_t_to_eps(law: str) -> None:
    own = sde(law)
    times = node_times(own, 20)
    assert (times[0], times[-1]) == (own.end, own.eps)
    assert (np.diff(times) < 0).all()


@pytest.mark.parametrize("law", ["ve", "vp", "flow"])
def test_it_follows_the_flow_at_second_order(law: str) -> None:
    """On Gaussian data N(m, v) the flow takes x to where (x - alpha m) / sqrt(alpha^2 v + sigma^2) stays."""
    own = sde(law)
    card = installed().get("checkpoints", "gaussian-cifar10").thing
    model = load_model(card, own, torch.device("cpu"), installed(), dtype=torch.float64)
    prior = torch.randn(2, *model.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = []
    for count in (80, 160, 320):
        states, data, clean = trajectory(prior, Prediction(model, own), node_times(own, count))
        assert len(states) == len(data) == count
        ends.append(clean)
    first, second = ((a - b).norm() for a, b in itertools.pairwise(ends))
    order = float(torch.log2(first / second))
    assert order > 1.7, order


def test_the_plane_too() -> None:
    law = sde("vp")
    prior = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fine = trajectory(prior, Prediction(mixture(), law), node_times(law, 2000))[2]
    coarse = trajectory(prior, Prediction(mixture(), law), node_times(law, 200))[2]
    assert float((fine - coarse).abs().max()) < 1e-2


def test_an_artifact_without_times_is_refused() -> None:
    parameters = {"nodes": 60, "gamma": 1.15}
    for values in ({}, {"times": "abc"}, {"times": [1.0]}):
        grid = GITS(artifact=artifact(plugin="gits", parameters=parameters, values=values))
        with pytest.raises(BenchError, match=r"holds no times|has 1 times, not 3"):
            grid.times(sde("vp"), 3)
