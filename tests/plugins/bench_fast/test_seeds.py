"""SEEDS against the integrals that it stands for: by quadrature, and by the noise's covariance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from bench import Array, Model, NoiseLevel, Prediction, Sampler, Step, Tensor
from bench_fast.seeds import SEEDS
from tests.support.analytic import grid_of, sde

STAGES = (2, 3)
ETAS = (0.0, 0.4, 1.0)


class Answers(Model):
    """A network whose expected data of each call is a number of its own, and that keeps its states."""

    def __init__(self, values: tuple[float, ...]) -> None:
        self.values = values
        self.shape = (1,)
        self.questions: list[Tensor] = []
        self.levels: list[NoiseLevel] = []

    def denoised(self, x: Tensor, level: NoiseLevel) -> Tensor:
        self.questions.append(x.clone())
        self.levels.append(level)
        return torch.full_like(x, self.values[len(self.questions) - 1])

    def images(self, x: Tensor) -> Tensor:
        return x

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        raise NotImplementedError


def one_step(predictor: SEEDS, values: tuple[float, ...], x: float, draws: tuple[float, ...]) -> Step:
    """The step of the middle, and in ``TRACE`` the states of the calls and of the step's end."""
    step: Step = Sampler(sde("vp"), predictor, steps=4, grid=grid_of("time_uniform")).schedule()[1]
    model, remaining = Answers(values), iter(draws)
    update = predictor.step(
        torch.tensor([[x]], dtype=torch.float64),
        step,
        Prediction(model, sde("vp")),
        lambda like: torch.full_like(like, next(remaining)),
        None,
    )
    TRACE[:] = [(level, float(state)) for level, state in zip(model.levels, model.questions, strict=True)]
    TRACE.append((NoiseLevel(step.t_next, step.alpha_next, step.sigma_next), float(update.x)))
    return step


TRACE: list[tuple[NoiseLevel, float]] = []


def half_log_snr(level: NoiseLevel) -> float:
    return math.log(level.alpha / level.sigma)


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("stages", STAGES)
def test_a_step_is_the_integral_of_the_datas_polynomial(stages: int, eta: float) -> None:
    """The mean of the reverse SDE's solution at u from the step's start,

        x_i / sigma_i = e^(-eta u) x / sigma + (1 + eta) int_0^u e^(lambda + v + eta (v - u)) D(v) dv.

    D is a constant in the first stage, and then the line through the first value and the newest; of two
    stages the newest alone. These are the stages of the exponential Runge-Kutta methods of Hochbruck and
    Ostermann (2005), with c = 1/2 and c = (1/3, 2/3), which Gonzalez et al. (2023) take.
    """
    values, x = (0.7, -1.1, 0.4)[:stages], 1.3
    step = one_step(SEEDS(stages=stages, eta=eta), values, x, (0.0,) * stages)
    start, h = half_log_snr(step), half_log_snr(TRACE[-1][0]) - half_log_snr(step)
    for i, (level, state) in enumerate(TRACE[1:], start=1):
        whole = half_log_snr(level) - start
        assert whole == pytest.approx(i / stages * h, rel=1e-9)

        def data(v: float, i: int = i) -> float:
            if i == 1 or stages == 2:
                return values[i - 1]
            place = (i - 1) / stages * h
            return values[0] + (values[i - 1] - values[0]) * v / place

        integral, _ = quad(
            lambda v, whole=whole: (1 + eta) * math.exp(start + v + eta * (v - whole)) * data(v), 0, whole
        )
        expected = level.sigma * (math.exp(-eta * whole) * x / step.sigma + integral)
        assert state == pytest.approx(expected, rel=1e-8), i


@pytest.mark.parametrize("eta", ETAS[1:])
@pytest.mark.parametrize("stages", STAGES)
def test_the_stages_noises_are_of_one_path(stages: int, eta: float) -> None:
    """``n(u) = int_0^u sqrt(2 eta) e^(-eta (u - v)) dW``, whose covariance is
    ``e^(-eta (u + w)) (e^(2 eta min(u, w)) - 1)``."""
    columns, places = [], np.array([])
    for k in range(stages):
        draws = tuple(float(j == k) for j in range(stages))
        step = one_step(SEEDS(stages=stages, eta=eta), (0.0,) * stages, 0.0, draws)
        columns.append([state / level.sigma for level, state in TRACE[1:]])
        places = np.array([half_log_snr(level) - half_log_snr(step) for level, _ in TRACE[1:]])
    factors: Array = np.array(columns).T
    covariance = factors @ factors.T
    for i, j in itertools.product(range(stages), repeat=2):
        u, w = places[i], places[j]
        expected = math.exp(-eta * (u + w)) * math.expm1(2 * eta * min(u, w))
        assert covariance[i, j] == pytest.approx(expected, rel=1e-9)
