"""Time grids and schedules at random valid parameters: ends, order, chains; and grids with mistakes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench import SDE, Array, BenchError, Grid, Sampler, UniformGrid
from bench.diffusion.grid import grid_times, label_levels, schedule_of
from tests.support.analytic import SDES, grid_of, sde
from tests.support.laws import laws, properties
from tests.support.plain import plain
from tests.support.plugins import installed


@properties
@given(laws(), st.integers(41, 120))
def test_a_schedule_follows_the_grid(law: SDE, steps: int) -> None:
    """The list runs from T down; each step leads to the level of the next one, the last to t = 0."""
    if "beta_max" in law.values():
        assume(plain(law.values())["beta_max"] < steps)
    schedule = schedule_of(law, steps)
    assert [s.t for s in schedule] == UniformGrid().times(law, steps).tolist()
    assert [s.index for s in schedule] == list(range(steps))[::-1]
    for step, after in pairwise(schedule):
        assert (step.t_next, step.alpha_next, step.sigma_next) == (after.t, after.alpha, after.sigma)
        assert step.dt == pytest.approx(step.t - after.t, rel=1e-12)
    last = schedule[-1]
    assert (last.t_next, last.alpha_next, last.sigma_next, last.dt) == (0, 1, 0, last.t)


@properties
@given(laws(), st.integers(1, 200))
def test_the_uniform_grid_is_even_from_t_to_eps(law: SDE, steps: int) -> None:
    t = grid_times(UniformGrid(), law, steps)
    assert t.shape == (steps,)
    assert t[-1] == law.end
    assert steps == 1 or t[0] == law.eps
    np.testing.assert_allclose(np.diff(t), (t[-1] - t[0]) / max(steps - 1, 1), rtol=0, atol=1e-12)


def test_one_step_goes_from_the_prior_to_clean_data() -> None:
    for name in SDES:
        (only,) = schedule_of(sde(name), 1, grid_of("polynomial"))
        assert (only.t, only.t_next, only.dt) == (1, 0, 1)


@pytest.mark.parametrize("grid", ["logsnr", "polynomial"])
@pytest.mark.parametrize("name", SDES)
def test_off_the_uniform_grid_the_chain_is_exact(name: str, grid: str) -> None:
    """Followed from clean data up, it has the marginals at every level."""
    alpha, variance = 1.0, 0.0
    for step in reversed(schedule_of(sde(name), 12, grid_of(grid))):
        alpha, variance = step.a * alpha, step.a**2 * variance + step.g**2
        assert alpha == pytest.approx(step.alpha, rel=1e-12)
        assert variance == pytest.approx(step.sigma**2, rel=1e-12)
        assert step.alpha_ratio == pytest.approx(step.a**2)
        assert (step.ancestral_mean, step.ancestral_std) == (step.a, step.g)
        assert (step.index, step.count) == (None, None)


def test_no_steps_is_refused() -> None:
    with pytest.raises(BenchError, match=r"steps must be at least 1, not 0"):
        schedule_of(sde("ve"), 0)


def test_too_few_steps_for_vps_chain_name_the_remedy() -> None:
    with pytest.raises(BenchError, match=r"more than 20 steps, not 20 .*raise --steps or take --grid"):
        schedule_of(sde("vp"), 20)
    assert len(schedule_of(sde("vp"), 21)) == 21
    assert len(schedule_of(sde("vp"), 20, grid_of("polynomial"))) == 20


@pytest.mark.parametrize("predictor", ["ddim", "heun", "dpmpp_2m", "euler_maruyama"])
def test_what_reads_no_chain_runs_where_there_is_none(predictor: str) -> None:
    """On its levels, with an index, and with the exact transition in the chain's place."""
    part = installed().build("predictors", predictor, {})
    none = installed().build("correctors", "none", {})
    for steps in (2, 5, 20):
        schedule = Sampler(sde("vp"), part, none, steps=steps).schedule()
        np.testing.assert_array_equal([s.t for s in schedule], UniformGrid().times(sde("vp"), steps))
        assert [(s.index, s.count) for s in schedule] == [(i, steps) for i in range(steps)][::-1]
        t, t_next = (np.array([getattr(s, name) for s in schedule]) for name in ("t", "t_next"))
        np.testing.assert_array_equal([[s.a for s in schedule], [s.g for s in schedule]],
                                      sde("vp").transition(t, t_next))  # fmt: skip


def test_what_reads_the_chain_is_refused_where_there_is_none() -> None:
    ddim = installed().build("predictors", "ddim", {})
    langevin = installed().build("correctors", "langevin", {})
    chained = [installed().build("predictors", name, {}) for name in ("reverse_diffusion", "ancestral")]
    for predictor, corrector in ((chained[0], None), (chained[1], None), (ddim, langevin)):
        with pytest.raises(BenchError, match="more than 20 steps, not 10"):
            Sampler(sde("vp"), predictor, corrector, steps=10).schedule()


class Stub(Grid):
    """The times that a test sets."""

    name = "stub"
    array: ClassVar[Any] = None

    def times(self, sde: SDE, steps: int) -> Array:
        array: Array = self.array
        return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([1.0, 0.5, 0.5], "time 3, 0.5, is not below time 2, 0.5"),
        ([0.001, 0.5, 1.0], "time 2, 0.5, is not below time 1, 0.001"),
        ([1.0, float("nan"), 0.1], "a time is not finite"),
        ([1.0, 0.5], "its times are no array of 3 numbers"),
        ([[1.0, 0.5, 0.1]], "its times are no array of 3 numbers"),
        (["a", "b", "c"], "its times are no array of 3 numbers"),
        (None, "its times are no array of 3 numbers"),
        ([0.9, 0.5, 0.1], "it starts at t = 0.9, not at T = 1"),
        ([1.0, 0.5, 1e-4], "it ends at t = 0.0001, below eps = 0.001"),
        ([1.0, 0.5, -1.0], "it ends at t = -1, below eps = 0.001"),
    ],
)
def test_a_grid_with_a_mistake_is_named(array: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stub, "array", array)
    with pytest.raises(BenchError) as error:
        grid_times(Stub(), sde("vp"), 3)
    assert str(error.value) == f"the grid stub is wrong on vp at 3 steps: {message}"


def test_the_ends_are_met_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a grid reaches them to rounding; it may end above eps."""
    monkeypatch.setattr(Stub, "array", [1 + 1e-12, 0.5, 1e-3 * (1 - 1e-12)])
    assert grid_times(Stub(), sde("vp"), 3).tolist() == [1e-3, 0.5, 1.0]
    monkeypatch.setattr(Stub, "array", [1.0, 0.5, 0.2])
    assert grid_times(Stub(), sde("vp"), 3).tolist() == [0.2, 0.5, 1.0]


def test_eps_beyond_the_end_is_refused() -> None:
    with pytest.raises(BenchError, match=r"vp\.eps must lie between 0 and 1"):
        sde("vp", eps=1.0)


def test_labels_are_the_next_lower_trained_levels() -> None:
    """Of half as many noise scales, floor(i / 2); on as many steps as there are scales, its own levels."""
    levels = label_levels(sde("vp"), 60, 30)
    assert [level.index for level in levels] == [i // 2 for i in range(60)]
    assert {level.count for level in levels} == {30}
    own = label_levels(sde("vp"), 30, 30)
    steps = schedule_of(sde("vp"), 30)[::-1]
    assert [(v.t, v.alpha, v.sigma) for v in own] == [(s.t, s.alpha, s.sigma) for s in steps]
    with pytest.raises(BenchError, match=r"label_scales \(31\) must not exceed steps \(30\)"):
        label_levels(sde("vp"), 30, 31)
