"""``sde_torchsde``: the reverse-time SDE by torchsde, against closed forms."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError, Prediction, Sampler, Tensor, assert_conforms
from bench.diffusion.noise import noise_streams
from tests.support.analytic import gaussian, grid_of, sde
from tests.support.plugins import installed

MU = np.linspace(-0.5, 0.5, 64).reshape(1, 8, 8)
LAM = np.geomspace(0.05, 2.0, 64).reshape(1, 8, 8)
MODEL = gaussian(MU, LAM)


def sample(law: str, batch: int, seed: int = 0, **parameters: Any) -> tuple[Tensor, int]:
    """States at eps, from the exact marginal at T, and the score calls."""
    chosen = sde(law)
    solver = installed().build("solvers", "sde_torchsde", parameters)
    sampler = Sampler(chosen, solver=solver, denoise="none")
    prior, noise, other = noise_streams(seed, 0, "cpu")
    top = chosen.at(chosen.end)
    deviation = torch.from_numpy(np.sqrt(top.alpha**2 * LAM + top.sigma**2))
    start = top.alpha * torch.from_numpy(MU) + deviation * prior(torch.empty(batch, *MU.shape).double())
    score = Prediction(MODEL, chosen)
    with torch.no_grad():
        return sampler.run(start / chosen.prior_std, score, noise, other), score.calls


def off(law: str, x: Tensor) -> tuple[float, float]:
    """Means' and variances' offsets from the marginal at eps, in standard errors of the pooled estimate."""
    level = sde(law).at(sde(law).eps)
    v = level.alpha**2 * LAM + level.sigma**2
    mean = (x.mean(0).numpy() - level.alpha * MU) / np.sqrt(v)
    ratio = x.var(0).numpy() / v - 1
    return float(mean.mean() * math.sqrt(x.numel())), float(ratio.mean() * math.sqrt(x.numel() / 2))


# Euler's variance is off by about ln(ratio)^2 / steps; srk's by the square of a step
CASES = [
    ("vp", {"method": "euler", "steps": 400, "schedule": "logsnr"}, 400),
    ("ve", {"method": "milstein", "steps": 400, "schedule": "polynomial"}, 400),
    ("subvp", {"method": "srk", "steps": 100, "schedule": "logsnr"}, 400),
    ("vp", {"method": "srk", "steps": 100, "schedule": "polynomial"}, 400),
]


@pytest.mark.parametrize(("law", "parameters", "calls"), CASES)
def test_moments_at_eps(law: str, parameters: dict[str, Any], calls: int) -> None:
    x, nfe = sample(law, 64, **parameters)
    assert nfe == calls
    mean, variance = off(law, x)
    assert abs(mean) < 4
    # 4096 values: a standard error of 2.2 %, of which Euler's own bias is one or two
    assert abs(variance) < 5


def test_fewer_steps_are_further_off_at_order_one() -> None:
    """Pooled over 512 x 64 values the variance's standard error is 0.8 %, far below the biases compared."""
    biases = []
    for steps in (25, 50):
        x, _ = sample("vp", 512, steps=steps, schedule="logsnr")
        biases.append(off("vp", x)[1] / math.sqrt(x.numel() / 2))
    assert biases[0] > biases[1] > 0.03
    assert abs(math.log2(biases[0] / biases[1]) - 1) < 0.6


def test_euler_and_milstein_agree_on_one_path() -> None:
    """The noise is additive: Milstein's correction is nothing."""
    euler, _ = sample("vp", 3, method="euler", steps=20)
    milstein, _ = sample("vp", 3, method="milstein", steps=20)
    torch.testing.assert_close(euler, milstein, rtol=1e-10, atol=1e-12)


def test_the_path_is_the_seeds() -> None:
    first, again, other = (sample("vp", 3, seed=seed, steps=20)[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_adaptive_steps_come_nearer_with_the_tolerance() -> None:
    """The variance within what the tolerance leaves, and more calls for it."""
    nfe, biases = [], []
    for tol in (0.3, 0.03):
        x, calls = sample("vp", 64, adaptive=True, tol=tol, steps=50, schedule="logsnr")
        nfe.append(calls)
        biases.append(abs(off("vp", x)[1]) / math.sqrt(x.numel() / 2))
    assert nfe[1] > nfe[0]
    assert biases[1] < 0.15  # steps end where the error estimate is a few hundredths
    solver = installed().build("solvers", "sde_torchsde", {"adaptive": True})
    assert solver.nfe() is None


def test_where_torchsde_gives_up_a_line_says_so() -> None:
    with pytest.raises(BenchError, match="sde_torchsde at tolerance 1e-09 gave up"):
        sample("vp", 2, adaptive=True, tol=1e-9, steps=2, schedule="uniform")


@pytest.mark.parametrize("schedule", ["uniform", "logsnr", "polynomial"])
@pytest.mark.parametrize("law", ["ve", "vp", "subvp"])
def test_the_time_change_is_the_schedules(law: str, schedule: str) -> None:
    """Its ends are T and eps, its inner points the run's own grid, and its pace the derivative."""
    solver = installed().build("solvers", "sde_torchsde", {"steps": 9, "schedule": schedule})
    grid: Any = schedule
    chosen = sde(law)
    times = [solver.place(chosen, float(u))[0] for u in range(10)]
    if schedule != "uniform":
        grid_steps = Sampler(
            chosen, installed().build("predictors", "ddim", {}), steps=10, grid=grid_of(grid)
        ).schedule()
        np.testing.assert_allclose(times, [s.t for s in grid_steps], rtol=1e-9)
    assert (times[0], times[-1]) == pytest.approx((chosen.end, chosen.eps), rel=1e-9)
    for u in (1.0, 4.5, 8.0):
        h = 1e-4
        ahead, behind = (solver.place(chosen, u + d)[0] for d in (h, -h))
        # central differences: an error of h^2
        assert solver.place(chosen, u)[1] == pytest.approx((behind - ahead) / (2 * h), rel=1e-5)


def test_it_conforms() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_conforms("sde_torchsde", sdes=("vp",), registry=installed())
