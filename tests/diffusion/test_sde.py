"""Properties of the SDEs at random valid parameters, of their transitions, chains and time grids."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from bench import SDE, BenchError
from bench.diffusion.grid import GridKind, schedule_of, time_grid
from tests.support.analytic import SDES, sde
from tests.support.plugins import installed


@st.composite
def laws(draw: st.DrawFn, names: tuple[str, ...] = SDES) -> SDE:
    """A registered SDE with parameters in the range that anyone would use."""
    name = draw(st.sampled_from(names))
    if name == "ve":
        low = draw(st.floats(1e-3, 1))
        return sde(
            name, sigma_min=low, sigma_max=low * draw(st.floats(2, 1e5)), eps=draw(st.floats(1e-6, 0.1))
        )
    if name == "ve_exp":
        return sde(name, base=draw(st.floats(2, 100)), eps=draw(st.floats(1e-6, 0.1)))
    if name == "vp_cosine":
        scales = draw(st.integers(5, 40))
        return sde(name, scales=scales, s=draw(st.floats(1e-3, 0.1)), eps=1 / scales)
    low = draw(st.floats(0.01, 2))
    return sde(name, beta_min=low, beta_max=low + draw(st.floats(0.1, 30)), eps=draw(st.floats(1e-6, 0.1)))


times = st.floats(1e-3, 1)
properties = settings(max_examples=60, deadline=None, derandomize=True)


def test_every_registered_sde_is_tested() -> None:
    assert sorted(e.name for e in installed().of_kind("sdes") if e.distribution == "sampler-bench") == sorted(
        SDES
    )


@properties
@given(laws(), times)
def test_marginals_solve_the_moment_equations(law: SDE, t: float) -> None:
    """d alpha/dt = f alpha and d var/dt = 2 f var + g^2, from alpha = 1 and the variance at t = 0.

    That is nought but for VE, whose sigma(0) is sigma_min.
    """
    start = float(law.sigma(np.array(0.0))) ** 2
    assert start == (pytest.approx(law.values()["sigma_min"] ** 2) if law.name == "ve" else 0)

    def right(time: float, y: list[float]) -> list[float]:
        at = np.array(time)
        f, g = float(law.drift(at)), float(law.diffusion(at))
        return [f * y[0], 2 * f * y[1] + g**2]

    # sub-VP's variance is as small as (beta t)^2 = 1e-10: nothing absolute may be tolerated
    found = solve_ivp(right, (0, t), [1.0, start], method="DOP853", rtol=1e-10, atol=1e-22)
    alpha, variance = found.y[:, -1]
    level = law.at(t)
    assert level.alpha == pytest.approx(alpha, rel=1e-6)
    assert level.sigma**2 == pytest.approx(variance, rel=1e-6)


@properties
@given(laws(), st.lists(times, min_size=3, max_size=3))
def test_transitions_compose(law: SDE, at: list[float]) -> None:
    """x(r) -> x(s) -> x(t) is x(r) -> x(t); also from clean data, r = 0."""
    r, s, t = (np.array(v) for v in sorted(at))
    # g^2 is a difference of variances: over a short step it loses the digits that they share
    assume(r < 0.98 * s < 0.98**2 * t)
    for start in (r, np.array(0.0)):
        a, g = law.transition(t, start)
        a1, g1 = law.transition(s, start)
        a2, g2 = law.transition(t, s)
        assert float(a) == pytest.approx(float(a2 * a1), rel=1e-12)
        # 1 - alpha^2 and the difference of variances each keep about 1e-16 / (beta t) of accuracy
        assert float(g) ** 2 == pytest.approx(float((a2 * g1) ** 2 + g2**2), rel=1e-9)
    level, below = law.at(float(t)), law.at(float(r))
    a, g = law.transition(t, r)
    assert level.alpha == pytest.approx(float(a) * below.alpha, rel=1e-12)
    assert level.sigma**2 == pytest.approx(float(a * below.sigma) ** 2 + float(g) ** 2, rel=1e-12)
    a, g = law.transition(t, np.array(0.0))
    assert (float(a), float(g)) == pytest.approx((level.alpha, level.sigma), rel=1e-12)


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
def test_scales_tell_the_grid(law: SDE, steps: int) -> None:
    """The list runs from T down; each scale's next is the one that follows it, the last one's t = 0."""
    if "beta_max" in law.values():
        assume(law.values()["beta_max"] < steps)
    found = schedule_of(law, steps)
    assert [s.t for s in found] == time_grid(law, steps).tolist()[::-1]
    assert [s.index for s in found] == list(range(steps))[::-1]
    for scale, after in pairwise(found):
        assert (scale.t_next, scale.alpha_next, scale.sigma_next) == (after.t, after.alpha, after.sigma)
        assert scale.dt == pytest.approx(scale.t - after.t, rel=1e-12)
    last = found[-1]
    assert (last.t_next, last.alpha_next, last.sigma_next, last.dt) == (0, 1, 0, last.t)


def test_one_step_goes_from_the_prior_to_clean_data() -> None:
    for name in SDES:
        (only,) = schedule_of(sde(name), 1, "polynomial")
        assert (only.t, only.t_next, only.dt) == (1, 0, 1)


@pytest.mark.parametrize("kind", ["logsnr", "polynomial"])
@pytest.mark.parametrize("name", SDES)
def test_off_the_uniform_grid_the_chain_is_exact(name: str, kind: GridKind) -> None:
    """Followed from clean data up, it has the marginals at every scale."""
    alpha, variance = 1.0, 0.0
    for scale in reversed(schedule_of(sde(name), 12, kind)):
        alpha, variance = scale.a * alpha, scale.a**2 * variance + scale.g**2
        assert alpha == pytest.approx(scale.alpha, rel=1e-12)
        assert variance == pytest.approx(scale.sigma**2, rel=1e-12)
        assert scale.alpha_ratio == pytest.approx(scale.a**2)
        assert (scale.ancestral_mean, scale.ancestral_std) == (scale.a, scale.g)


def test_vp_chain_is_ddpms() -> None:
    """At 1000 scales prod a_i^2 = prod(1 - beta_i), which DDPM's table ends at 4.04e-5."""
    beta = np.linspace(0.1 / 1000, 20.0 / 1000, 1000)
    chain = schedule_of(sde("vp"), 1000)[::-1]
    squares = np.array([s.a for s in chain]) ** 2
    np.testing.assert_allclose(np.cumprod(squares), np.cumprod(1 - beta), rtol=1e-12)
    assert np.prod(squares) == pytest.approx(4.036e-5, rel=1e-3)
    np.testing.assert_allclose([s.g**2 for s in chain], beta, rtol=1e-12)
    np.testing.assert_allclose([s.alpha_ratio for s in chain], 1 - beta, rtol=1e-12)


def test_twice_the_scales_halve_the_betas() -> None:
    betas = np.array([s.g for s in schedule_of(sde("vp"), 2000)][::-1]) ** 2
    np.testing.assert_allclose(betas, np.linspace(0.1, 20.0, 2000) / 2000, rtol=1e-12)
    assert betas[-1] == pytest.approx(schedule_of(sde("vp"), 1000)[0].g ** 2 / 2)


def test_ve_chain_is_geometric() -> None:
    """Twice the scales keep sigma_min and sigma_max; below the smallest scale sigma is nought."""
    for count in (1000, 2000):
        chain = schedule_of(sde("ve"), count)[::-1]
        reached = np.cumsum([s.g**2 for s in chain])
        np.testing.assert_allclose(reached, np.geomspace(0.01, 50, count) ** 2, rtol=1e-9)
        assert {s.a for s in chain} == {1.0}


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
