"""Sampled moments of every built-in combination against the closed form on Gaussian data."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from bench import Array, LinearPredictor, Prediction, Sampler
from bench.checkpoints.exact import trained_answer
from bench.closed_form.mixture import Answer
from bench.closed_form.moments import frechet, limit_moments, moments, response_moments
from bench.diffusion.noise import noise_streams
from bench.metrics.frechet import fd_diagonal
from tests.support import closed_form
from tests.support.analytic import gaussian, grid_of
from tests.support.closed_form import Case
from tests.support.plugins import installed

SHAPE = (3, 8, 8)
D = 192
N = 1000
# 94 cases with three statistics each: one false alarm in 35 sets of seeds, and the seed is fixed
P = 1e-4

BUILT_IN = "sampler-bench"


def built_ins(kind: str) -> list[str]:
    return [e.name for e in installed().of_kind(kind) if e.distribution == BUILT_IN]


def one_step() -> list[str]:
    """The predictors whose moments follow from a recursion; multistep ones have tests of their own."""
    linear = [e.name for e in installed().of_kind("predictors") if issubclass(e.thing, LinearPredictor)]
    return [name for name in built_ins("predictors") if name in linear]


CASES = [
    Case(s, p, c)
    for s in built_ins("sdes")
    for p in one_step()
    for c in built_ins("correctors")
    if (p, c) != ("none", "none")
]
VARIANTS = [
    Case("ve", "reverse_diffusion", "langevin", order="predictor_first", moves=2),
    Case("vp", "ancestral", "annealed_langevin", order="predictor_first", denoise="none"),
    Case("vp", "euler_maruyama", "langevin", order="corrector_first", denoise="none"),
    Case("subvp", "reverse_diffusion", "annealed_langevin", denoise="tweedie", moves=2),
    Case("ve", "ancestral", order="predictor_first", denoise="tweedie"),
    Case("ve", "reverse_diffusion", "langevin", label_scales=30),
    Case("vp", "ancestral", steps=120, label_scales=60),
    Case("subvp", "probability_flow", "annealed_langevin", label_scales=60, denoise="tweedie"),
    Case("ve_exp", "euler_maruyama", order="predictor_first", label_scales=25),
]


TRAINED = 40
"""Discrete scales that a score of these tests was trained at: VP's chain needs more than 20."""


def as_table1(trained: int) -> list[Case]:
    """Every column of Song et al.'s Tables 1 and 4 on a score that was trained at this many scales."""
    cases = []
    for law in ("ve", "vp"):
        for p in ("ancestral", "reverse_diffusion", "probability_flow"):
            p1000 = Case(law, p, steps=trained, trained=trained)
            p2000 = dataclasses.replace(p1000, steps=2 * trained)
            cases += [p1000, p2000, dataclasses.replace(p2000, label_scales=trained)]
            cases.append(dataclasses.replace(p1000, corrector="langevin", snr=0.16 if law == "ve" else 0.01))
        cases.append(Case(law, "none", "langevin", steps=trained, snr=0.22, moves=2, trained=trained))
    return cases


def label(case: Case) -> str:
    of = "" if case.trained is None else f"-{case.steps}-of-{case.trained}"
    return f"{case.sde}-{case.predictor}-{case.corrector}-{case.order}-{case.denoise}-{case.label_scales}{of}"


@cache
def data() -> tuple[Array, Array]:
    """Mean and variance: five decades of variance in an order that has nothing to do with the index."""
    rng = np.random.default_rng(1)
    lam = rng.permutation(np.geomspace(1e-4, 10, D)).reshape(SHAPE)
    return rng.normal(size=SHAPE), lam


def sampler(case: Case) -> Sampler:
    parameters: dict[str, Any] = {} if case.corrector == "none" else {"snr": case.snr, "steps": case.moves}
    return Sampler(
        installed().build("sdes", case.sde, {}),
        installed().build("predictors", case.predictor, {}),
        installed().build("correctors", case.corrector, parameters),
        steps=case.steps,
        order=case.order,  # type: ignore[arg-type]
        denoise=case.denoise,  # type: ignore[arg-type]
        label_scales=case.label_scales,
    )


@pytest.mark.parametrize("case", CASES + VARIANTS, ids=label)
def test_moments_are_those_of_the_papers_formulas(case: Case) -> None:
    mu, lam = data()
    expected_mean, expected_variance = closed_form.moments(case, mu, lam)
    mean, variance = moments(sampler(case), mu, lam)
    # means can come near zero by cancellation: relative to the spread that they are seen against
    assert np.abs(mean - expected_mean).max() < 1e-9 * np.abs(expected_mean).max()
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-9)


def answer(case: Case) -> Answer | None:
    """How the checkpoint of the case answers."""
    shipped = installed().get("checkpoints", "gaussian-cifar10").thing
    law = installed().build("sdes", case.sde, {})
    return trained_answer(shipped.model_copy(update={"scales": case.trained}), law)


@pytest.mark.parametrize("case", as_table1(1000) + as_table1(TRAINED), ids=label)
def test_moments_of_a_score_trained_at_discrete_scales(case: Case) -> None:
    mu, lam = data()
    expected_mean, expected_variance = closed_form.moments(case, mu, lam)
    mean, variance = moments(sampler(case), mu, lam, answer(case))
    assert np.abs(mean - expected_mean).max() < 1e-9 * np.abs(expected_mean).max()
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-9)


@pytest.mark.parametrize("case", [c for c in as_table1(TRAINED) if c.corrector == "none"], ids=label)
def test_impulses_see_the_same_score(case: Case) -> None:
    """The model that runs sample with, in place of the recursion."""
    mu, lam = data()
    expected = closed_form.moments(case, mu, lam)
    result = response_moments(dataclasses.replace(sampler(case), denoise="mean"), mu, lam, answer(case))
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9 * float(np.abs(expected[0]).max()))


@pytest.mark.parametrize("name", ["ddim", "ancestral", "reverse_diffusion"])
@pytest.mark.parametrize("law", ["vp", "subvp"])
def test_moments_with_an_analytic_first_step(law: str, name: str) -> None:
    """The recursion beside impulses through the run's own loop, whose model is not asked at T."""
    mu, lam = data()
    chosen = dataclasses.replace(
        sampler(Case(law, name, steps=30)), steps=8, grid=grid_of("logsnr"), afs=True, denoise="mean"
    )
    expected = response_moments(chosen, mu, lam)
    result = moments(chosen, mu, lam)
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9 * float(np.abs(expected[0]).max()))
    plain = moments(dataclasses.replace(chosen, afs=False), mu, lam)
    assert np.abs(plain[1] / result[1] - 1).max() > 1e-6


def test_a_solver_on_a_trained_score_has_no_known_limit() -> None:
    mu, lam = data()
    case = Case("vp", "none", trained=TRAINED)
    solver = installed().build("solvers", "rk45", {})
    flow = Sampler(installed().build("sdes", "vp", {}), solver=solver, denoise="none")
    assert limit_moments(flow, mu, lam) is not None
    assert limit_moments(flow, mu, lam, answer(case)) is None


@pytest.mark.parametrize("case", CASES + VARIANTS, ids=label)
def test_sampled_moments(case: Case) -> None:
    """float32 as runs are: its rounding is 1e-4 of the noise of 1000 samples.

    Per coefficient the samples are normal, independent of each other, so that n (m - m')^2 / v is
    chi-squared with one degree of freedom and (n-1) v' / v with n-1.
    """
    mu, lam = data()
    mean, variance = closed_form.moments(case, mu, lam)
    chosen = sampler(case)
    prior, predictor_noise, corrector_noise = noise_streams(7, 0, "cpu")
    model = gaussian(mu, lam, torch.float32)
    score = Prediction(model, chosen.sde, labels=chosen.labels())
    x = chosen.run(prior(torch.empty(N, *SHAPE)), score, predictor_noise, corrector_noise)
    samples = x.double().numpy()
    mean_squares = N * np.sum((samples.mean(0) - mean) ** 2 / variance)
    assert stats.chi2.sf(mean_squares, D) > P
    ratios = (N - 1) * samples.var(0, ddof=1) / variance
    below = stats.chi2.cdf(ratios.sum(), D * (N - 1))
    assert P / 2 < below < 1 - P / 2
    assert stats.kstest(ratios.ravel(), stats.chi2(N - 1).cdf).pvalue > P


@pytest.mark.parametrize("distance", [0.0, 0.3])
def test_fd_diagonal_is_unbiased_and_knows_its_error(distance: float) -> None:
    """The mean of the replications within four standard errors of the distance, and the error to 25%.

    The spread over 4000 replications is itself known to 2%; the rest of the 25% is for the delta
    method's remainder at n = 20. At equality (distance 0) every first-order term of the error is zero
    and its plug-in estimate is all noise, which must not be counted as error.
    """
    rng = np.random.default_rng(3)
    n, d, replications = 20, 60, 4000
    reference = np.geomspace(1e-2, 4, d)
    mean = distance * rng.normal(size=d)
    variance = reference * np.exp(distance * rng.normal(size=d))
    truth = frechet(mean, variance, np.zeros(d), reference)
    values, errors = np.empty(replications), np.empty(replications)
    for k in range(replications):
        x = mean + np.sqrt(variance) * rng.normal(size=(n, d))
        values[k], errors[k] = fd_diagonal(x.mean(0), (x**2).sum(0), n, reference)
    spread = values.std(ddof=1)
    assert abs(values.mean() - truth) < 4 * spread / np.sqrt(replications)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize("order", ["corrector_first", "predictor_first"])
@pytest.mark.parametrize("sde_name", ["ve", "subvp"])
def test_a_corrector_alone_ends_on_its_own_mean(sde_name: str, order: str) -> None:
    """C2000's shape, on data as narrow as the last noise, so that a mean that kept its noise would show."""
    mu, lam = np.zeros(SHAPE), np.full(SHAPE, 1e-4)
    case = Case(sde_name, "none", "langevin", steps=1000, snr=0.5, moves=2, order=order)
    _, variance = closed_form.moments(case, mu, lam)
    noisy = closed_form.moments(dataclasses.replace(case, denoise="none"), mu, lam)[1]
    assert (noisy > 1.5 * variance).all()
    np.testing.assert_allclose(moments(sampler(case), mu, lam)[1], variance, rtol=1e-9)
    chosen, n = sampler(case), 50
    prior, predictor_noise, corrector_noise = noise_streams(7, 0, "cpu")
    score = Prediction(gaussian(mu, lam, torch.float64), chosen.sde)
    start = prior(torch.empty(n, *SHAPE, dtype=torch.float64))
    x = chosen.run(start, score, predictor_noise, corrector_noise).numpy()
    below = stats.chi2.cdf((x**2 / variance).sum(), n * D)
    assert P / 2 < below < 1 - P / 2
