"""STORK (Tan et al. 2025): a stabilized Runge-Kutta method with Taylor's expansion in place of calls."""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np

from bench import SDE, Array, Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import Entry, History, combine, extend


class STORK(Predictor):
    """STORK-2: the step of ``dx/dt = F(t, x)`` by ``substeps`` stages of the Runge-Kutta-Gegenbauer method,

        Y_0 = x,   Y_1 = Y_0 + m h F_0,   m = 6 / ((s + 4) (s - 1)),
        Y_j = mu_j Y_(j-1) + nu_j Y_(j-2) + (1 - mu_j - nu_j) Y_0 + h (mu_j m F_(j-1) + g_j F_0),

    of which the last, Y_s, is x'. With ``b_j = 4 (j - 1) (j + 4) / (3 j (j + 1) (j + 2) (j + 3))``, b_0 = 1
    and b_1 = 1/3: ``mu_j = (2 j + 1) b_j / (j b_(j-1))``, ``nu_j = -(j + 1) b_j / (j b_(j-2))``,
    ``g_j = -mu_j m (1 - j (j + 1) b_(j-1) / 2)``. F_j is F at ``t + c_j h`` and Y_j, where

        F(t, x) = (alpha' / alpha) x + (sigma' - sigma alpha' / alpha) eps(t),

    and eps(t) is the polynomial through the last ``order + 1`` expected noises, newest first; with
    ``expansion=velocity`` F is the polynomial through the last velocities. So a step makes one network call.
    The c_j of the authors' code are ``(j^2 + j - 2) / (s^2 + s - 2)``, of j = 1 a third of that of 2: those
    of another method of this kind. ``places=consistent`` takes the times at which the Y_j stand. The first
    steps use the noises that there are: the authors' begin with two half steps. The last step is the
    expected data.

    Source: Tan et al. (2025), "STORK: Faster diffusion and flow matching sampling by resolving both
    stiffness and structure-dependence", and its authors' ``STORKScheduler``; Skaras et al. (2021) for the
    method.
    """

    name = "stork"
    uses_chain = False

    substeps: int = param(default=50, help="stages of a step; they make no network calls", low=2, high=500)
    order: int = param(default=2, help="degree of the polynomial", low=1, high=3)
    expansion: Literal["noise", "velocity"] = param(
        default="noise",
        help="what the polynomial is of: noise, for diffusion, or velocity, for flow matching",
    )
    places: Literal["published", "consistent"] = param(
        default="published", help="times of the stages: of the authors' code, or of the states"
    )

    @property
    def convergence_order(self) -> float:
        return 1.0 if self.places == "published" else 2.0

    @property
    def linear(self) -> bool:
        return True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: History | None) -> Update:
        del noise
        if step.last:
            clean = p.denoised(x, step)
            return Update(clean, clean)
        answer = p.velocity(x, step) if self.expansion == "velocity" else p.noise(x, step)
        history = extend(state, Entry(step, answer), self.order + 1)
        times = tuple(entry.level.t for entry in history)
        own, *weights = step_weights(self, p.sde, step.t, step.t_next, times)
        terms = [(weight, entry.output) for weight, entry in zip(weights, history, strict=True)]
        after = combine((own, x), *terms)
        return Update(after, after, history)


@functools.lru_cache(maxsize=4096)
def step_weights(method: STORK, sde: SDE, t: float, t_next: float, times: tuple[float, ...]) -> list[float]:
    """``x' = a x + sum_i w_i eps_i``: a and the w_i. F is linear, and all but x and eps are numbers.

    Args:
        method: The method's parameters.
        sde: The SDE.
        t: Time at which the step starts.
        t_next: Time to which it leads.
        times: The times of the answers eps_i, newest first.
    """
    s = method.substeps
    places = published_places(s) if method.places == "published" else consistent_places(s)
    h = t_next - t
    at = t + h * np.array(places)
    own_slopes, noise_slopes = (0.0, 1.0) if method.expansion == "velocity" else slopes(sde, at)
    answers = np.zeros((s, len(times) + 1))
    answers[:, 1:] = (noise_slopes * lagrange(times, at)).T
    rows = list(zip(np.broadcast_to(own_slopes, s).tolist(), answers, strict=True))
    # a stage is its factors of x and of the answers
    start = np.zeros(len(times) + 1)
    start[0] = 1.0
    first = rows[0][0] * start + rows[0][1]
    before, stage = start, start + h * coefficients(s)[0][0] * first
    for (own, of_answers), (shift, mu, nu, gamma) in zip(rows[1:], coefficients(s)[1:], strict=True):
        ahead = mu * stage + nu * before + (1 - mu - nu) * start
        ahead = ahead + h * (shift * (own * stage + of_answers) + gamma * first)
        before, stage = stage, ahead
    weights: list[float] = stage.tolist()
    return weights


def slopes(sde: SDE, t: Array) -> tuple[Array, Array]:
    """``alpha' / alpha`` and ``sigma' - sigma alpha' / alpha``: dx/dt's factors of x and of the noise."""
    own = sde.alpha_slope(t) / sde.alpha(t)
    return own, sde.sigma_slope(t) - own * sde.sigma(t)


def lagrange(times: tuple[float, ...], t: Array) -> Array:
    """The values at t (n,) of the polynomials that are 1 at one of the times and 0 at the others, (k, n)."""
    shares = np.ones((len(times), len(t)))
    for i, own in enumerate(times):
        for other in (*times[:i], *times[i + 1 :]):
            shares[i] *= (t - other) / (own - other)
    return shares


@functools.cache
def coefficients(s: int) -> tuple[tuple[float, float, float, float], ...]:
    """``(mu_j m, mu_j, nu_j, g_j)`` of the stages 1 to s; of the first, m and zeros."""
    b = [
        1.0,
        1 / 3,
        *(4 * (j - 1) * (j + 4) / (3 * j * (j + 1) * (j + 2) * (j + 3)) for j in range(2, s + 1)),
    ]
    m = 6 / ((s + 4) * (s - 1))
    rows = [(m, 0.0, 0.0, 0.0)]
    for j in range(2, s + 1):
        mu, nu = (2 * j + 1) * b[j] / (j * b[j - 1]), -(j + 1) * b[j] / (j * b[j - 2])
        rows.append((mu * m, mu, nu, -mu * m * (1 - j * (j + 1) * b[j - 1] / 2)))
    return tuple(rows)


@functools.cache
def published_places(s: int) -> tuple[float, ...]:
    """c_0 to c_(s-1) of the authors' code."""
    whole = s**2 + s - 2
    return (0.0, 4 / (3 * whole), *((j**2 + j - 2) / whole for j in range(2, s)))[:s]


@functools.cache
def consistent_places(s: int) -> tuple[float, ...]:
    """c_0 to c_(s-1) at which the stages stand: where they are for dx/dt = 1."""
    places = [0.0, coefficients(s)[0][0]]
    for shift, mu, nu, gamma in coefficients(s)[1:]:
        places.append(mu * places[-1] + nu * places[-2] + shift + gamma)
    return tuple(places[:s])
