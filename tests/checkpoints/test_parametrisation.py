"""Conversions of a network's output, against exact arithmetic."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from bench import BenchError, NoiseLevel, Parametrisation
from tests.support.plugins import installed

NAMES = ("noise", "score", "scaled_score", "denoised", "v", "velocity", "edm")


def exact_weights(name: str, a: Any, s: Any) -> tuple[Any, Any]:
    """Factors of clean data and noise in each output, in 60 digits; the slopes are -0.7 and 0.4."""
    root = mpmath.sqrt(4 * s**2 + 1)
    return {
        "noise": (0, 1),
        "score": (0, -1 / s),
        "scaled_score": (0, -1),
        "denoised": (1, 0),
        "v": (-s, a),
        "velocity": (mpmath.mpf(-0.7), mpmath.mpf(0.4)),
        # F = (D - c_skip (D + sigma E)) / c_out at alpha = 1
        "edm": ((1 - 1 / root**2) / (s / root), -s / root**2 / (s / root)),
    }[name]


LEVELS = ((1.0, 0.01), (0.8, 0.6), (1e-3, 1.0), (1e-9, 1.0), (1.0, 1e-9), (1.0, 80.0))


def parametrisation(name: str) -> Parametrisation:
    built: Parametrisation = installed().build("parametrisations", name, {})
    return built


@pytest.mark.parametrize(("alpha", "sigma"), LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_both_expectations_follow_from_the_output(name: str, alpha: float, sigma: float) -> None:
    """As the exact solution of the two equations for the numbers that float64 holds, up to its rounding."""
    alpha = 1.0 if name == "edm" else alpha
    draws = np.random.default_rng(0)
    x, output = draws.normal(size=20), draws.normal(size=20)
    level = NoiseLevel(0.5, alpha, sigma, alpha_slope=-0.7, sigma_slope=0.4)
    subject = parametrisation(name)
    clean = subject.denoised(torch.from_numpy(output), torch.from_numpy(x), level).numpy()
    noise = subject.noise(torch.from_numpy(output), torch.from_numpy(x), level).numpy()
    with mpmath.workdps(60):
        a, s = mpmath.mpf(alpha), mpmath.mpf(sigma)
        p, q = exact_weights(name, a, s)
        for i in range(20):
            system = mpmath.matrix([[a, s], [p, q]])
            expected = mpmath.lu_solve(system, mpmath.matrix([mpmath.mpf(x[i]), mpmath.mpf(output[i])]))
            total = abs(p * s - q * a)
            # each is a sum of two terms, of which the larger decides what rounding leaves
            for own, exact, terms in (
                (clean[i], expected[0], (abs(s * output[i]) + abs(q * x[i])) / total),
                (noise[i], expected[1], (abs(p * x[i]) + abs(a * output[i])) / total),
            ):
                assert abs(float(own - exact)) < 8 * 2.3e-16 * max(float(terms), 1e-300)


@pytest.mark.parametrize("name", ["denoised", "v", "velocity"])
def test_in_pure_noise_the_data_is_what_the_network_knows(name: str) -> None:
    level = NoiseLevel(1.0, 0.0, 1.0, alpha_slope=-1.0, sigma_slope=1.0)
    x, data = torch.tensor([1.0, -2.0]), torch.tensor([0.25, 0.5])
    output = {"denoised": data, "v": -data, "velocity": x - data}[name]
    subject = parametrisation(name)
    torch.testing.assert_close(subject.denoised(output, x, level), data)
    torch.testing.assert_close(subject.noise(output, x, level), x)


@pytest.mark.parametrize("name", ["noise", "score", "scaled_score"])
def test_in_pure_noise_the_noise_alone_tells_nothing_of_the_data(name: str) -> None:
    level, x = NoiseLevel(1.0, 0.0, 1.0), torch.ones(2)
    with pytest.raises(BenchError, match="does not tell the data where alpha = 0"):
        parametrisation(name).denoised(x, x, level)
    assert torch.equal(parametrisation(name).noise(x, 3 * x, level), 3 * x)


def test_only_edm_scales_what_it_is_given() -> None:
    level = NoiseLevel(0.5, 1.0, 1.2)
    factors = {name: parametrisation(name).input_factor(level) for name in NAMES}
    assert factors.pop("edm") == pytest.approx(1 / math.sqrt(1.2**2 + 0.25))
    assert set(factors.values()) == {1.0}
