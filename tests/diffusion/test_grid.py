"""Time grids and schedules at random valid parameters: ends, even spacing, chains."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench import SDE, BenchError, time_grid
from bench.diffusion.grid import GridKind, label_levels, schedule_of
from tests.support.analytic import SDES, sde
from tests.support.laws import laws, properties
from tests.support.plain import plain


@properties
@given(laws(), st.integers(2, 200), st.sampled_from(["uniform", "logsnr", "polynomial"]), st.floats(1, 10))
def test_grids_run_from_eps_to_one(law: SDE, steps: int, kind: GridKind, rho: float) -> None:
    t = time_grid(law, steps, kind, rho)
    assert t.shape == (steps,)
    assert (t[0], t[-1]) == (law.eps, 1)
    assert (np.diff(t) > 0).all()
    ratio = law.sigma(t) / law.alpha(t)
    coordinate = {"uniform": t, "logsnr": np.log(ratio), "polynomial": ratio ** (1 / rho)}[kind]
    # evenly spaced, to the resolution of a float64 time in a coordinate that moves 1/t times as fast
    even = np.linspace(coordinate[0], coordinate[-1], steps)
    np.testing.assert_allclose(coordinate, even, rtol=0, atol=1e-9 * np.abs(coordinate).max())


@properties
@given(laws(), st.integers(41, 120))
def test_a_schedule_follows_the_grid(law: SDE, steps: int) -> None:
    """The list runs from T down; each step leads to the level of the next one, the last to t = 0."""
    if "beta_max" in law.values():
        assume(plain(law.values())["beta_max"] < steps)
    schedule = schedule_of(law, steps)
    assert [s.t for s in schedule] == time_grid(law, steps).tolist()[::-1]
    assert [s.index for s in schedule] == list(range(steps))[::-1]
    for step, after in pairwise(schedule):
        assert (step.t_next, step.alpha_next, step.sigma_next) == (after.t, after.alpha, after.sigma)
        assert step.dt == pytest.approx(step.t - after.t, rel=1e-12)
    last = schedule[-1]
    assert (last.t_next, last.alpha_next, last.sigma_next, last.dt) == (0, 1, 0, last.t)


def test_one_step_goes_from_the_prior_to_clean_data() -> None:
    for name in SDES:
        (only,) = schedule_of(sde(name), 1, "polynomial")
        assert (only.t, only.t_next, only.dt) == (1, 0, 1)


@pytest.mark.parametrize("kind", ["logsnr", "polynomial"])
@pytest.mark.parametrize("name", SDES)
def test_off_the_uniform_grid_the_chain_is_exact(name: str, kind: GridKind) -> None:
    """Followed from clean data up, it has the marginals at every level."""
    alpha, variance = 1.0, 0.0
    for step in reversed(schedule_of(sde(name), 12, kind)):
        alpha, variance = step.a * alpha, step.a**2 * variance + step.g**2
        assert alpha == pytest.approx(step.alpha, rel=1e-12)
        assert variance == pytest.approx(step.sigma**2, rel=1e-12)
        assert step.alpha_ratio == pytest.approx(step.a**2)
        assert (step.ancestral_mean, step.ancestral_std) == (step.a, step.g)


def test_no_steps_is_refused() -> None:
    with pytest.raises(BenchError, match=r"steps must be at least 1, not 0"):
        schedule_of(sde("ve"), 0)


def test_too_few_steps_for_vps_chain_name_the_remedy() -> None:
    with pytest.raises(BenchError, match=r"more than 20 steps, not 20 .*raise --steps or take --grid"):
        schedule_of(sde("vp"), 20)
    assert len(schedule_of(sde("vp"), 21)) == 21
    assert len(schedule_of(sde("vp"), 20, "polynomial")) == 20


def test_eps_beyond_the_end_is_refused() -> None:
    with pytest.raises(BenchError, match=r"vp\.eps must lie between 0 and 1"):
        time_grid(sde("vp", eps=1.0), 10)


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
