"""Restart sampling against its authors' code, recorded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import Noise, Prediction, Step, Tensor
from bench.diffusion.grid import schedule_of
from bench.testing.kit import check
from bench_fast.restart import Restart
from tests.support.analytic import Replay, grid_of, sde
from tests.support.authors import libraries, mixture, recording
from tests.support.pages import page_says
from tests.support.plugins import installed

CASES = [(Restart(), "restart_3"), (Restart(t_min=0.5, t_max=2.0, points=4, repeats=1), "restart_4")]


@pytest.mark.parametrize(("predictor", "key"), CASES, ids=["default", "other"])
def test_it_is_the_authors(predictor: Restart, key: str) -> None:
    """Newbeeer/diffusion_restart_sampling's ``restart_sampler`` on EDM's grid, to clean data, and its calls.

    Its inner grid is of float32 positions: 1e-7 times the states' slopes.
    """
    law = sde("vp")
    x, state, p = torch.from_numpy(recording()["x"]), None, Prediction(mixture(), law)
    schedule = schedule_of(law, 9, grid_of("polynomial"), chain=False)
    noise = Replay(torch.from_numpy(libraries()["draws"]))
    for step in schedule:
        x, _, state = predictor.step(x, step, p, noise, state)
    np.testing.assert_allclose(x.numpy(), libraries()[key], rtol=0, atol=1e-6)
    assert p.calls == predictor.nfe(schedule) == {"restart_3": 25, "restart_4": 23}[key]
    assert noise.drawn == predictor.repeats


class OffByAShare(Restart):
    """The noise of a restart is too small."""

    name = "off_by_a_share"

    def again(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Tensor:
        return super().again(x, step, p, lambda y: noise(y).mul_(0.9))


class AsItIs(Restart):
    """Judged at its own points at every number of steps."""

    name = "as_it_is"

    def refine(self, steps: int) -> AsItIs:
        return self


@pytest.mark.parametrize(
    ("part", "failing"), [(Restart(), set()), (OffByAShare(), {"law, vp"}), (AsItIs(), {"law, vp"})]
)
def test_check_judges_it_with_points_that_grow_with_steps(part: Restart, failing: set[str]) -> None:
    """Its law has a limit then, and a tenth of its noise is found; at three points an error stays."""
    findings = check(part, registry=installed(), sdes=("vp",), plot=False).findings
    assert {finding.name for finding in findings if finding.status == "fail"} == failing
    refined = [finding.measured for finding in findings if finding.name == "refined"]
    declared = ["judged at points=57 at 500 steps, as its refine(n) declares"]
    assert refined == ([] if isinstance(part, AsItIs) else declared)
    assert page_says("docs/extend/sampler.md", "in 500 steps `restart` is judged with `points=57`")


def test_refined_it_is_the_authors_at_their_steps() -> None:
    assert Restart().refine(18) == Restart() == Restart().refine(9)
    assert Restart(points=4).refine(36) == Restart(points=7)
    assert Restart().nfe(schedule_of(sde("ve"), 18, grid_of("polynomial"), chain=False)) == 43


@pytest.mark.parametrize(
    "parameters", [{"t_max": 1e-9}, {"t_max": 1e9}, {"t_min": 1e-3}], ids=["below", "above", "last"]
)
def test_without_an_interval_within_the_grid_it_is_heuns_method(parameters: dict[str, float]) -> None:
    schedule = schedule_of(sde("vp"), 9, grid_of("polynomial"), chain=False)
    assert Restart(**parameters).nfe(schedule) == 17  # type: ignore[arg-type]
