"""The suite ``ncsn`` against annealed Langevin dynamics as NCSN and NCSNv2 wrote it down."""

from __future__ import annotations

import csv
import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from bench import Prediction, Sampler
from bench.checkpoints.exact import exact_data, exact_fd_dct
from bench.closed_form.mixture import on_range
from bench.closed_form.moments import moments
from bench.plan.planning import plan_suite
from bench.plan.settings import Settings, suites
from bench.plan.suites import resolve_suite
from bench.testing.probe import ended
from tests.support import plans
from tests.support.analytic import gaussian, relative
from tests.support.paths import ROOT, TESTS_PATH
from tests.support.plain import plain
from tests.support.plugins import installed

REFERENCE = ROOT / "results" / "reference" / "ncsn" / "gaussian-cifar10-512"
SEEDS = 3
DIMENSION = (1, 2, 3)


@cache
def samplers() -> dict[tuple[str, str], Sampler]:
    """The suite's samplers by row and way of ending."""
    settings = Settings(checkpoint=["gaussian-cifar10"], samples=4, device="cpu")
    suite = resolve_suite("ncsn", suites(TESTS_PATH))
    plan = plan_suite(settings, "exact", "ncsn", suite, plans.contexts())
    by_fingerprint = {spec.fingerprint: spec.sampler for spec in plan.specs}
    cells = [cell for suite_plan in plan.suite_plans for cell in suite_plan.cells]
    chosen = [(cell.row, by_fingerprint[cell.fingerprint]) for cell in cells]
    return {(row, sampler.denoise): sampler for row, sampler in chosen}


@pytest.mark.parametrize(
    ("row", "count", "largest", "moves", "e", "half"),
    [("NCSN", 10, 1.0, 100, 2e-5, True), ("NCSNv2", 232, 50.0, 5, 6.2e-6, False)],
)
@pytest.mark.parametrize("denoise", ["none", "tweedie"])
def test_runs_as_published(
    row: str, count: int, largest: float, moves: int, e: float, half: bool, denoise: str
) -> None:
    """State for state, on a Gaussian, with the same noise: both papers' algorithm 1 in full length."""
    mean, variance = np.linspace(0.2, 0.7, 6).reshape(DIMENSION), np.geomspace(1e-4, 1, 6).reshape(DIMENSION)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(SEEDS, *DIMENSION, generator=generator, dtype=torch.float64)
    draws = torch.randn(count * moves, SEEDS, *DIMENSION, generator=generator, dtype=torch.float64)

    x, z = largest * start.numpy(), iter(draws.numpy())
    sigmas = np.geomspace(largest, 0.01, count)

    def score(x: np.ndarray, sigma: float) -> np.ndarray:
        return np.asarray((mean - x) / (variance + sigma**2))

    for sigma in sigmas:
        a = e * sigma**2 / sigmas[-1] ** 2
        for _ in range(moves):
            if half:  # Song and Ermon (2019)
                x = x + a / 2 * score(x, sigma) + np.sqrt(a) * next(z)
            else:  # Song and Ermon (2020)
                x = x + a * score(x, sigma) + np.sqrt(2 * a) * next(z)
    if denoise == "tweedie":
        x = x + sigmas[-1] ** 2 * score(x, sigmas[-1])

    sampler = samplers()[row, denoise]
    # the run's times begin at eps, a 1e-5 of which is 1e-4 of sigma
    sampler = dataclasses.replace(sampler, sde=ended(sampler.sde, 1e-13))
    remaining = iter(draws.clone())
    p = Prediction(gaussian(mean, variance), sampler.sde)
    with torch.no_grad():
        result = sampler.run(start, p, lambda _: pytest.fail("no predictor"), lambda _: next(remaining))
    # r is written with eight digits
    assert relative(result, x) < 1e-6
    assert p.calls == count * moves + (denoise == "tweedie")


def test_ncsnv2s_step_is_the_best_of_its_theory() -> None:
    """Where the step of a scale is ``x (1 - q) + sqrt(2 q) sigma z``, T of them from a chain of ratio g leave

    ``s^2 / sigma^2 = (1 - q)^2T (g^2 - 1 / (1 - q/2)) + 1 / (1 - q/2)``, by the geometric sum. NCSNv2
    (technique 4) chooses e, here q = e / sigma_L^2 = 2 r^2, so that this is nearest to 1: its update has no
    half in it.
    """
    sampler = samplers()["NCSNv2", "none"]
    assert sampler.corrector is not None
    ratio, moves = 5000 ** (1 / (sampler.steps - 1)), sampler.corrector.calls

    def ratio_after(q: float) -> float:
        factor, noise = (1 - q) ** (2 * moves), 1 / (1 - q / 2)
        return float(factor * (ratio**2 - noise) + noise)

    best = minimize_scalar(ratio_after, bounds=(1e-3, 0.5), method="bounded").x
    assert 2 * plain(sampler.corrector.values())["snr"] ** 2 == pytest.approx(best, rel=0.05)


def test_committed_table_agrees_with_theory() -> None:
    """Each value within four of its errors of the moments' recursion, which is computed anew."""
    card = installed().get("checkpoints", "gaussian-cifar10").thing
    with (REFERENCE / "cells.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == len(samplers())
    for row in rows:
        exact = exact_fd_dct(card, samplers()[row["row"], row["column"].removeprefix("denoise ")])
        assert float(row["exact"]) == pytest.approx(exact, rel=1e-6)
        assert abs(float(row["value"]) - float(row["exact"])) < 4 * float(row["error"])


def test_noise_of_one_does_not_find_the_brightness() -> None:
    """From N(0, 1), NCSN's ten scales leave more than 99 % of the distance in the mean gray level."""
    data, color = exact_data(installed().get("checkpoints", "gaussian-cifar10").thing)
    images = on_range(data, (0.0, 1.0), color)
    mean, variance = images.mean[0], images.variance[0]
    result, spread = moments(samplers()["NCSN", "none"], mean, variance)
    parts = (result - mean) ** 2 + (np.sqrt(spread) - np.sqrt(variance)) ** 2
    assert parts[0, 0, 0] > 0.99 * parts.sum()
