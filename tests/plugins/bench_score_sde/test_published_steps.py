"""Single steps and whole runs against figures recorded from the public implementation of the paper."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bench import SDE, Corrector, Prediction, Predictor, Sampler, Step
from bench.diffusion.grid import schedule_of
from tests.support.analytic import RECORDED, Replay, recorded, recorded_model, relative, sde, tensor
from tests.support.plugins import installed

COUNT = 1000
INDICES = [int(i) for i in recorded()["indices"]]
EPS32 = float(np.finfo(np.float32).eps)

PREDICTORS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler_maruyama": ("euler_maruyama", {"dt": "published"}),
    "reverse_diffusion": ("reverse_diffusion", {}),
    "ancestral_sampling": ("ancestral", {}),
    "reverse_diffusion+probability_flow": ("probability_flow", {}),
}
CORRECTORS = {"langevin": "langevin", "ald": "annealed_langevin", "none": "none"}

CASES = [(s, i) for s in RECORDED for i in INDICES]
PREDICTOR_CASES = [(s, i, p) for s, i in CASES for p in PREDICTORS if f"{s}/{i}/{p}/mean" in recorded()]
CORRECTOR_CASES = [
    (s, i, c, m)
    for s, i in CASES
    for c in ("langevin", "ald")
    for m in (1, 2)
    if f"{s}/{i}/{c}{m}/x" in recorded()
]
RUNS = sorted(
    {name.rsplit("/", 1)[0] for name in recorded() if name.startswith("traj/") and name.endswith("/x")}
)


def predictor(recorded_name: str) -> Predictor:
    name, parameters = PREDICTORS[recorded_name]
    part: Predictor = installed().build("predictors", name, parameters)
    return part


def corrector(recorded_name: str, **parameters: Any) -> Corrector:
    part: Corrector = installed().build("correctors", CORRECTORS[recorded_name], parameters)
    return part


def scale_at(law: SDE, index: int) -> Step:
    """Step ``index`` of 1000, with what depends on t at the recorded t, which is not on the grid."""
    t = float(recorded()[f"{law.name}/{index}/t"][0])
    time, level = np.array([t]), law.at(t)
    scale = schedule_of(law, COUNT)[COUNT - 1 - index]
    scale = dataclasses.replace(
        scale,
        t=t,
        alpha=level.alpha,
        sigma=level.sigma,
        drift=float(law.drift(time)[0]),
        diffusion=float(law.diffusion(time)[0]),
    )
    if law.name == "subvp":  # no discrete chain of its own: Euler-Maruyama's, which depends on t
        a, g = law.chain(time, COUNT)
        scale = dataclasses.replace(scale, a=float(a[0]), g=float(g[0]))
    assert scale.index == index
    return scale


def test_the_recording_is_all_there() -> None:
    assert len(PREDICTOR_CASES) == 6 * (4 + 4 + 3)
    assert len(CORRECTOR_CASES) == 6 * 2 * 4
    assert len(RUNS) == 10


@pytest.mark.parametrize(("name", "index"), CASES)
def test_coefficients(name: str, index: int) -> None:
    """The recording is float32, and where it cancels it is known less well than we compute.

    1 - y with y near 1 carries an absolute error of eps. So sigma (VP: sqrt(1 - y); sub-VP: 1 - y),
    sub-VP's diffusion sqrt(beta (1 - y)), VP's f = (sqrt(1 - beta_i) - 1) x and VE's
    G^2 = sigma_i^2 - sigma_{i-1}^2 get eps times the amplification that the cancellation has.
    """
    law, values, at = sde(name), recorded(), f"{name}/{index}/"
    scale = scale_at(law, index)
    x = tensor(at + "x")
    # alpha = exp(y) and sigma = exp(y), |y| < 6: an error of eps in y counts six times
    few = 8 * EPS32
    sigma = diffusion = f = g = few
    if name == "ve":
        g += few * scale.sigma**2 / scale.g**2
    elif name == "vp":
        sigma += EPS32 / (2 * scale.sigma**2)
        f += EPS32 / (1 - scale.a)
    else:
        sigma += EPS32 / scale.sigma
        diffusion += EPS32 / (2 * (1 - scale.alpha**4))
        g += EPS32 / (2 * (1 - scale.alpha**4))
    np.testing.assert_allclose(scale.alpha, values[at + "alpha"], rtol=few)
    np.testing.assert_allclose(scale.sigma, values[at + "std"], rtol=sigma)
    np.testing.assert_allclose(scale.diffusion, values[at + "diffusion"], rtol=diffusion)
    np.testing.assert_allclose(scale.g, values[at + "G"], rtol=g)
    if name == "ve":
        assert not values[at + "drift"].any()
        assert scale.drift == 0
        assert not values[at + "f"].any()
        assert scale.a == 1
    else:
        assert relative(scale.drift * x, values[at + "drift"]) < few
        assert relative((scale.a - 1) * x, values[at + "f"]) < f
    # the score of data this wide (s0 = 0.5) does not feel sigma's error
    assert relative(recorded_model().score(x, scale), values[at + "score"]) < few


@pytest.mark.parametrize(("name", "index", "step"), PREDICTOR_CASES)
def test_predictor_step(name: str, index: int, step: str) -> None:
    law, values, at = sde(name), recorded(), f"{name}/{index}/"
    score = Prediction(recorded_model(), law)
    result = (
        predictor(step)
        .resolve(law)
        .step(tensor(at + "x"), scale_at(law, index), score, Replay(tensor(f"noise/{index}")), None)
    )
    assert relative(result.mean, values[f"{at}{step}/mean"]) < 1e-5
    # probability flow draws no noise: its x is its mean
    noisy = "mean" if "probability_flow" in step else "x"
    assert relative(result.x, values[f"{at}{step}/{noisy}"]) < 1e-5
    assert score.calls == 1


@pytest.mark.parametrize(("name", "index", "step", "moves"), CORRECTOR_CASES)
def test_corrector_steps(name: str, index: int, step: str, moves: int) -> None:
    law, values, at = sde(name), recorded(), f"{name}/{index}/"
    score, noise = Prediction(recorded_model(), law), Replay(tensor(f"noise/{index}"))
    chosen = corrector(step, snr=0.16, steps=moves).resolve(law)
    x = mean = tensor(at + "x")
    for _ in range(chosen.calls):
        x, mean, _ = chosen.step(x, scale_at(law, index), score, noise)
    assert relative(x, values[f"{at}{step}{moves}/x"]) < 1e-5
    assert relative(mean, values[f"{at}{step}{moves}/mean"]) < 1e-5
    assert score.calls == moves


@pytest.mark.parametrize("name", RUNS)
def test_whole_run(name: str) -> None:
    """24 scales from the recorded prior with the recorded noise, on float64.

    One iterator feeds predictor and corrector: the noise is recorded in the order drawn.
    """
    values = recorded()
    _, sde_name, step, correction = name.split("/")
    law = sde(sde_name, eps=float(values[f"{name}/eps"]))
    parameters = {"snr": float(values[f"{name}/snr"])} if correction != "none" else {}
    sampler = Sampler(law, predictor(step), corrector(correction, **parameters), steps=24)
    score, noise = Prediction(recorded_model(), law), Replay(tensor(f"traj/noise/{correction}"))
    prior = tensor(f"{name}/prior") / law.prior_std
    result = sampler.run(prior, score, noise, noise)
    assert relative(result, values[f"{name}/x"]) < 1e-5
    assert score.calls == (24 if correction == "none" else 48)
    # VE's last ancestral step has no noise (sigma_{-1} = 0): the recorded draw was multiplied by zero
    assert noise.drawn == len(noise.draws) - (step == "ancestral_sampling" and sde_name == "ve")
