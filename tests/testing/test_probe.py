"""The observers that the kit puts into the loop."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch

from bench import param
from bench.testing import probe
from bench.testing.laws import SHAPE, mixture
from bench.testing.probe import (
    CountedNoise,
    CountedPrediction,
    FreeModel,
    Kind,
    prior,
    state_tensors,
    with_steps,
    with_tolerance,
)
from tests.support.checks import context
from tests.support.plugins import installed
from tests.support.samplers import Sound


def test_a_trial_counts_calls_draws_and_steps() -> None:
    sde = context().sde("vp")
    trial = context().trial(Sound(), sde, 6, probe.prior(2))
    assert (trial.calls, trial.draws, len(trial.part.steps)) == (6, 6, 6)
    assert [list(call.calls) for call in trial.part.steps] == [[number] for number in range(6)]
    assert trial.part.kinds == {Kind(SHAPE, "torch.float64", "cpu")}
    assert not trial.part.changed_in_place


def test_the_final_state_is_that_before_the_step_to_clean_data() -> None:
    trial = context().trial(Sound(), context().sde("vp"), 6, probe.prior(2))
    last = trial.part.steps[-1]
    assert last.step.last
    assert torch.equal(trial.final_state, last.x)
    assert not torch.equal(trial.final_state, trial.x)


def test_a_solvers_final_state_is_its_result() -> None:
    solver = context().solver("rk45", tol=1e-2)
    trial = context().trial(solver, context().sde("vp"), 0, probe.prior(2))
    assert torch.equal(trial.final_state, trial.x)


@dataclasses.dataclass
class History:
    """A history as a sampler may keep it."""

    slope: torch.Tensor
    count: int


def test_the_tensors_of_any_history_are_listed() -> None:
    x, scalar = torch.zeros(2, *SHAPE), torch.zeros(())
    history = (History(x + 1, 3), {"past": [x + 2, None]}, (x + 3, scalar))
    assert [float(tensor.flatten()[0]) for tensor in state_tensors(history)] == [1, 2, 3]
    assert state_tensors(None) == []


def test_noise_counts_its_draws() -> None:
    x = torch.zeros(3, *SHAPE)
    noise, same = CountedNoise(5), CountedNoise(5)
    assert torch.equal(noise(x), same(x))
    assert not torch.equal(noise(x), CountedNoise(5)(x))
    assert (noise.draws, same.draws) == (2, 1)
    numbered = CountedNoise(draw=lambda count, x: x + count)
    assert [float(numbered(x).max()) for _ in range(2)] == [1, 2]


def test_a_free_model_returns_its_output() -> None:
    """Of as many rows as are asked: a solver may ask for some of a batch alone."""
    output, level = torch.ones(2, *SHAPE), context().sde("vp").at(0.5)
    model = FreeModel(output)
    assert model.shape == SHAPE
    for answer in (model.score, model.denoised):
        assert answer(torch.zeros_like(output), level).data_ptr() == output.data_ptr()
        assert [len(answer(output[:rows], level)) for rows in (1, 2)] == [1, 2]
    assert model.images(output) is output


def test_a_solvers_own_steps_and_tolerance_are_set_where_it_has_them() -> None:
    rk45 = context().solver("rk45")
    assert with_steps(rk45, 7) is rk45
    tightened = with_tolerance(rk45, 1e-4)
    assert tightened is not None
    assert tightened.values()["tol"] == 1e-4
    stepped = context().solver("sde_torchsde")
    assert with_steps(stepped, 7).values()["steps"] == 7
    assert with_tolerance(Sound(), 1e-4) is None
    assert with_steps(Sound(), 7).values() == {}


class Shares(Sound):
    """One parameter of each kind."""

    name = "shares"

    eta: float = param(default=0.0, help="share", low=0, high=1)
    half: float = param(default=0.5, help="share", low=0, high=1)
    rho: float = param(default=7.0, help="power", above=0)
    count: int = param(default=3, help="number", high=3)
    flag: bool = param(default=False, help="flag")
    kind: Literal["one", "two", "three"] = param(default="one", help="kind")
    scale: float | None = param(default=None, help="scale", above=0)


def test_other_values_are_far_from_their_own() -> None:
    """Squares, roots and signs differ from the value itself at each of them."""
    expected = {"eta": 0.5, "half": 1.0, "rho": 10.5, "count": 2, "flag": True, "kind": "two", "scale": 1.0}
    assert probe.other_values(Shares()) == expected


def test_other_settings_have_every_choice() -> None:
    settings = probe.other_settings(Shares())
    assert [value for name, value in settings if name == "kind"] == ["two", "three"]
    assert len(settings) == 8


def test_an_sde_is_ended_earlier() -> None:
    assert probe.ended(context().sde("ve"), 0.25).eps == 0.25


@pytest.mark.parametrize("name", ["flow", "flow_cosine"])
def test_an_sde_that_ends_in_noise_begins_where_the_ratio_is_finite(name: str) -> None:
    """So that a grid's first step grows short with the others, as all those on VP do."""
    sde, cut = context().sde(name), context().middle(context().sde(name))
    assert (cut.end, cut.name) == (sde.end - sde.eps, name)
    assert not cut.ends_in_noise
    assert cut == context().middle(sde)
    grid, first = context().grid("polynomial"), []
    for steps in (250, 500):
        t = grid.times(cut, steps)
        first.append(t[0] - t[1])
    assert first[1] < 0.6 * first[0]
    assert probe.begun(context().sde("vp")).end == 1


@pytest.mark.parametrize("name", ["ve", "vp", "subvp"])
def test_the_middle_has_noise_of_the_datas_size(name: str) -> None:
    sde = context().sde(name)
    cut = context().middle(sde)
    level = cut.at(cut.eps)
    size = float(context().law(mixture(), sde).spread.log().mean())
    assert sde.eps < cut.eps <= 0.8 * sde.end
    assert float(torch.tensor(level.sigma / level.alpha).log()) == pytest.approx(size, abs=1e-5)
    assert installed().get("sdes", name).thing is type(cut)


def test_times_of_rows_are_seen_and_counted_as_calls() -> None:
    run = context().sde("vp")
    model = context().model(mixture(), run)
    p = CountedPrediction(model, run)
    p.score(prior(3), np.array([0.2, 0.5, 0.9]))
    assert (p.calls, p.total, model.states_seen) == (1, [3], 3)
    assert [level.t for _, level in model.calls] == [0.2, 0.5, 0.9]
