"""Grids that choose noise levels: against published formulas and lists."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench import Array, BenchError, Fittable
from bench.diffusion.grid import grid_times
from bench_grids.levels import AlignYourSteps, Sigmas
from tests.support.analytic import SDES, grid_of, sde
from tests.support.plugins import installed


def ratios(name: str, steps: int, law: str = "ve", **parameters: float) -> Array:
    """sigma / alpha of the times, noisiest first."""
    chosen = sde(law)
    t = grid_times(grid_of(name, **parameters), chosen, steps)[::-1]
    return np.asarray(chosen.sigma(t) / chosen.alpha(t))


@pytest.mark.parametrize("law", SDES)
@pytest.mark.parametrize("steps", [5, 10, 35])
@pytest.mark.parametrize("rho", [3.0, 7.0])
def test_polynomial_is_karrass_formula(law: str, steps: int, rho: float) -> None:
    """sigma_i = (max^(1/rho) + i / (n - 1) (min^(1/rho) - max^(1/rho)))^rho."""
    levels = ratios("polynomial", steps, law, rho=rho)
    high, low = levels[0] ** (1 / rho), levels[-1] ** (1 / rho)
    expected = [(high + i / (steps - 1) * (low - high)) ** rho for i in range(steps)]
    # close to T a time has a float64's resolution, and the ratio moves up to 4000 times as fast
    np.testing.assert_allclose(levels, expected, rtol=1e-9)


@pytest.mark.parametrize("law", SDES)
@pytest.mark.parametrize("steps", [5, 10, 35])
def test_logsnr_is_geometric(law: str, steps: int) -> None:
    levels = ratios("logsnr", steps, law)
    np.testing.assert_allclose(
        levels[1:] / levels[:-1], (levels[-1] / levels[0]) ** (1 / (steps - 1)), rtol=1e-9
    )


SD15 = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152]
SDXL = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113]
SVD = [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034]
"""diffusers 0.42.1: ``AysSchedules``, each without its last value, 0."""


@pytest.mark.parametrize(("model", "published"), [("sd15", SD15), ("sdxl", SDXL), ("svd", SVD)])
def test_ays_at_ten_steps_is_the_published_list(model: str, published: list[float]) -> None:
    law = sde("ve", sigma_max=700.0)
    t = grid_times(AlignYourSteps.build({"model": model}), law, 10)[::-1]
    assert t[0] == law.end
    np.testing.assert_allclose(law.sigma(t[1:]), published[1:], rtol=1e-12)


def test_ays_is_interpolated_as_published() -> None:
    """Four steps: NVIDIA's ``loglinear_interp`` to the five ends of the steps gives these (float32)."""
    np.testing.assert_allclose(ratios("ays", 4)[1:], [3.22693616, 1.396, 0.51004706], rtol=1e-7)
    # of n and 2 n steps every second level is the same
    for steps in (5, 35):
        np.testing.assert_allclose(ratios("ays", 2 * steps)[::2][1:], ratios("ays", steps)[1:], rtol=1e-12)
    assert len(ratios("ays", 1)) == 1


def test_ays_refuses_levels_that_the_sde_does_not_have() -> None:
    with pytest.raises(BenchError, match=r"ays visits .* from 54\.5 to 0\.034, but ve has 50 to 0\.01"):
        AlignYourSteps(model="svd").times(sde("ve"), 10)


def test_sigmas_are_the_levels() -> None:
    grid = Sigmas.build({"levels": "50, 10,1,0.1"})
    law = sde("ve")
    np.testing.assert_allclose(law.sigma(grid_times(grid, law, 4)[::-1]), [50, 10, 1, 0.1], rtol=1e-12)
    # of VP to one per cent, where T's is 152.1
    vp = sde("vp")
    t = grid_times(Sigmas(levels=(152.0, 1.0, 0.02)), vp, 3)[::-1]
    assert t[0] == 1
    np.testing.assert_allclose(vp.sigma(t[1:]) / vp.alpha(t[1:]), [1.0, 0.02], rtol=1e-12)


def test_sigmas_may_be_times() -> None:
    grid = Sigmas(levels=(1.0, 0.7, 0.2, 1e-3), variable="t")
    assert grid_times(grid, sde("vp"), 4).tolist() == [1e-3, 0.2, 0.7, 1.0]


def test_sigmas_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "levels.txt"
    path.write_text("50\n10 1,\n0.1\n")
    assert Sigmas.build({"levels": f"@{path}"}) == Sigmas(levels=(50.0, 10.0, 1.0, 0.1))


@pytest.mark.parametrize(
    ("levels", "steps", "message"),
    [
        ((), 4, "needs its levels: give -P grid.levels=50,10,1,0.1 or @FILE"),
        ((50.0, 1.0), 4, "has 2 levels, not 4: give --steps 2"),
        ((80.0, 10.0), 2, r"starts at 80, but sigma / alpha of ve is 50 at T, .*: begin the list with 50"),
        ((50.0, 1e-4), 2, r"ends at 0\.0001, below sigma / alpha of ve at eps, 0\.0100009"),
        ((50.0, 1.0, 2.0), 3, "the grid sigmas is wrong on ve at 3 steps: time 3, .*, is not below time 2"),
        ((50.0, 50.0), 2, "the grid sigmas is wrong on ve at 2 steps: time 2, 1, is not below time 1, 1"),
    ],
)
def test_wrong_lists_are_refused(levels: tuple[float, ...], steps: int, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        grid_times(Sigmas(levels=levels), sde("ve"), steps)


def test_where_the_ratio_is_infinite_at_the_prior_a_list_of_ratios_is_refused() -> None:
    with pytest.raises(BenchError, match="sigmas starts at T, where sigma / alpha of flow is infinite"):
        Sigmas(levels=(80.0, 1.0)).times(sde("flow"), 2)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_where_the_ratio_is_infinite_at_the_prior_grids_begin_there(steps: int) -> None:
    """Those that are even in a function of the ratio go on as if they had begun at T - eps."""
    law = sde("flow")
    entries = [one for one in installed().of_kind("grids") if not issubclass(one.thing, Fittable)]
    names = [one.name for one in entries if one.name != "sigmas"]
    assert len(names) == 9
    for name in names:
        times = grid_times(grid_of(name), law, steps)
        assert (len(times), times[-1]) == (steps, 1.0), name
        assert (np.diff(times) > 0).all(), name
    t = grid_times(grid_of("logsnr"), law, 9)[:-1]
    last = math.log((1 - law.eps) / law.eps)
    log_ratio = np.log(t / (1 - t))
    np.testing.assert_allclose(np.diff(log_ratio), (last - log_ratio[0]) / 8, rtol=1e-9)
