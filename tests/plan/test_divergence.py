"""The note for samplers that diverge: on vp_cosine's uniform grid at few steps, and not elsewhere."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bench.plan import divergence
from bench.plan.divergence import divergence_note, relative_error
from tests.support.plans import quick_spec

COSINE: dict[str, Any] = {"sde": ["vp_cosine"], "grid": "uniform"}


@pytest.mark.parametrize("steps", [50, 100])
@pytest.mark.parametrize("predictor", ["heun", "euler_maruyama"])
def test_explicit_steps_across_a_steep_end_are_noted(predictor: str, steps: int) -> None:
    note = divergence_note(quick_spec(**COSINE, steps=steps, predictor=[predictor]))
    assert note is not None
    assert f"{predictor}, {steps} steps: the sampler diverges here: on Gaussian data it ends " in note
    assert note.endswith("; take more steps or another grid")
    other = COSINE | {"grid": "logsnr"}
    assert divergence_note(quick_spec(**other, steps=steps, predictor=[predictor])) is None


@pytest.mark.parametrize("sde", ["vp", "subvp", "vp_cosine"])
@pytest.mark.parametrize("predictor", ["ancestral", "ddim", "heun", "dpmpp_2m", "euler_maruyama"])
def test_samplers_on_their_usual_grids_are_not(sde: str, predictor: str) -> None:
    assert divergence_note(quick_spec(sde=[sde], steps=20, grid="polynomial", predictor=[predictor])) is None


def test_a_step_is_as_far_as_its_equation_says() -> None:
    """Euler-Maruyama from T on VP in one step, its mean: ``x' = (1 + b / 2) x + b s`` with b = beta dt and
    s = (alpha m - x) / v."""
    sampler = quick_spec(sde=["vp"], steps=1, grid="polynomial", predictor=["euler_maruyama"]).sampler
    (step,) = sampler.schedule()
    b, deviation = step.diffusion**2 * step.dt, divergence.BRIGHTNESS * 2 * math.sqrt(3072)
    v = step.alpha**2 * deviation**2 + step.sigma**2
    expected = abs(abs(1 + b / 2 - b / v) - deviation) / deviation  # the mean is 0 on VP's range
    assert relative_error(sampler, 3072) == pytest.approx(expected, rel=1e-9)


def test_what_theory_has_no_moments_of_or_takes_long_is_not_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    assert divergence_note(quick_spec(solver=["rk45"])) is None
    monkeypatch.setattr(divergence, "MOST_CALLS", 49)
    assert divergence_note(quick_spec(**COSINE, steps=50, predictor=["euler_maruyama"])) is None
