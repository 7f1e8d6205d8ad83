"""Properties of the SDEs at random valid parameters: marginals, transitions, the level of a sigma / alpha."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from bench import SDE
from tests.support.analytic import FLOWS, SDES, sde
from tests.support.laws import laws, properties
from tests.support.plain import plain
from tests.support.plugins import installed

times = st.floats(1e-3, 1)


def test_every_registered_sde_is_tested() -> None:
    names = [e.name for e in installed().of_kind("sdes") if e.distribution == "sampler-bench"]
    assert sorted(names) == sorted((*SDES, *FLOWS))


@properties
@given(laws(), times)
def test_marginals_solve_the_moment_equations(law: SDE, t: float) -> None:
    """d alpha/dt = f alpha and d var/dt = 2 f var + g^2, from alpha = 1 and the variance at t = 0.

    That variance is zero but for VE, whose sigma(0) is sigma_min.
    """
    start = float(law.sigma(np.array(0.0))) ** 2
    assert start == (pytest.approx(plain(law.values())["sigma_min"] ** 2) if law.name == "ve" else 0)

    def right(time: float, y: list[float]) -> list[float]:
        at = np.array(time)
        f, g = float(law.drift(at)), float(law.diffusion(at))
        return [f * y[0], 2 * f * y[1] + g**2]

    # sub-VP's variance is as small as (beta t)^2 = 1e-10: nothing absolute may be tolerated
    solution = solve_ivp(right, (0, t), [1.0, start], method="DOP853", rtol=1e-10, atol=1e-22)
    alpha, variance = solution.y[:, -1]
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


@pytest.mark.parametrize("name", SDES)
def test_the_level_of_a_ratio_is_found_to_rounding(name: str) -> None:
    law = sde(name)
    low, high = (law.at(t).sigma / law.at(t).alpha for t in (law.eps, law.end))
    for ratio in np.geomspace(low, high, 7)[1:-1].tolist():
        level = law.level_at(ratio)
        assert level.sigma / level.alpha == pytest.approx(ratio, rel=1e-9)
        assert level == law.level_at(ratio, clip=True) == law.level_at_half_log_snr(-math.log(ratio))
        assert (level.index, level.count) == (None, None)


@properties
@given(laws())
def test_closed_forms_of_the_time_agree_with_bisection(law: SDE) -> None:
    t = np.geomspace(law.eps, law.end, 40)
    log_ratio = np.log(law.sigma(t) / law.alpha(t))
    np.testing.assert_allclose(law.time_at(log_ratio), t, rtol=1e-9)
    np.testing.assert_allclose(law.time_at(log_ratio), SDE.time_at(law, log_ratio), rtol=1e-9)


@pytest.mark.parametrize("name", SDES)
def test_far_beyond_the_range_the_time_is_that_of_an_end(name: str) -> None:
    law = sde(name)
    for size in (300.0, 1e4, math.inf):
        np.testing.assert_allclose(law.time_at(np.array([-size, size])), [1e-12, law.end], rtol=1e-15)


@pytest.mark.parametrize("name", SDES)
def test_a_level_is_the_times_own(name: str) -> None:
    """The same bits as `time_at` on one value, from the cache too."""
    law = sde(name)
    (t,) = law.time_at(np.array([math.log(0.7)]))
    assert law.level_at(0.7) == law.at(float(t))
    assert law.level_at(0.7) is law.level_at(0.7)


@pytest.mark.parametrize("name", SDES)
def test_beyond_the_range_the_level_is_that_of_an_end(name: str) -> None:
    law = sde(name)
    assert law.level_at(1e-9, clip=True).t == pytest.approx(law.eps, rel=1e-9)
    assert law.level_at(1e9, clip=True).t == pytest.approx(law.end, rel=1e-9)
    assert law.level_at(1e9).t == pytest.approx(law.end, rel=1e-9)
    assert law.level_at(1e-9).t <= law.eps


def test_two_laws_of_equal_parameters_have_their_own_levels() -> None:
    assert sde("vp").values() == sde("subvp").values()
    assert sde("vp").level_at(0.5) != sde("subvp").level_at(0.5)


@pytest.mark.parametrize("name", ["subvp", "vp", "ve"])
def test_slopes_at_clean_data_warn_of_nothing(name: str, recwarn: pytest.WarningsRecorder) -> None:
    """0 / 0 has no limit there; who asks for it gets what is not finite, and no line of NumPy's."""
    assert not np.isfinite(sub_slope(name)) or name == "ve"
    assert list(recwarn) == []


def sub_slope(name: str) -> float:
    """The default slope of sigma at t = 0."""
    law = installed().build("sdes", name, {})
    return float(SDE.sigma_slope(law, np.array(0.0)))
