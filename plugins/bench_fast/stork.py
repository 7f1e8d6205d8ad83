"""STORK (Tan et al. 2025): a stabilized Runge-Kutta method with Taylor's expansion in place of calls."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import numpy as np

from bench import SDE, Array, BenchError, Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench_fast.history import Entry, History, combine, extend
from bench_fast.rock4 import ROCK4


class STORK(Predictor):
    """A step of ``dx/dt = F(t, x)`` by a stabilized Runge-Kutta method, with one network call,

        Y_i = x + h sum_(j<i) a_ij F_j,   x' = x + h sum_i b_i F_i,   F_i = F(t + c_i h, Y_i),
        F(t, x) = (alpha' / alpha) x + (sigma' - sigma alpha' / alpha) eps(t),

    where eps(t) is the polynomial through the last ``order + 1`` expected noises, newest first; with
    ``expansion=velocity`` F is the polynomial through the last velocities. The first steps use the answers
    that there are, and their error falls with the second power of the step; the authors' begin with two half
    steps. The last step is the expected data.

    STORK-2 takes the s = ``substeps`` stages of the Runge-Kutta-Gegenbauer method of order 2 (`gegenbauer`),
    STORK-4 those of ROCK4, of order 4 (`rock4`), of the least of its degrees that is not below s; it has four
    stages more.

    With ``places=published`` the stages are those of the authors' code, with ``consistent`` those of the
    methods. Of STORK-2 the published c_j are ``(j^2 + j - 2) / (s^2 + s - 2)``, of j = 1 a third of that of
    2: those of another method of this kind. Of STORK-4 the published recurrence begins with its first two
    states in each other's place. So the b_i sum to 0.9990 at degree 50 and to 0.958 at degree 5, in place of
    1: each step falls short of its end, and shorter steps change nothing. (In the authors' class for
    diffusers STORK-2 adds expected noises in place of F; not so here.)

    Source: Tan et al. (2025), "STORK: Faster diffusion and flow matching sampling by resolving both
    stiffness and structure-dependence", and its authors' ``STORKScheduler``; Skaras et al. (2021) and Abdulle
    (2002), "Fourth order Chebyshev methods with recurrence relation", for the methods.
    """

    name = "stork"
    uses_chain = False

    method: Literal["stork2", "stork4"] = param(
        default="stork2", help="STORK-2 or STORK-4, of ROCK4's stages"
    )
    substeps: int = param(
        default=50, help="stages of a step, at most 98 of stork4; they make no network calls", low=2, high=500
    )
    order: int = param(default=2, help="degree of the polynomial", low=1, high=3)
    expansion: Literal["noise", "velocity"] = param(
        default="noise",
        help="what the polynomial is of: noise, for diffusion, or velocity, for flow matching",
    )
    places: Literal["published", "consistent"] = param(
        default="published", help="times and states of the stages: of the authors' code, or of the method"
    )

    @property
    def converges_to(self) -> Literal["flow", "data"] | None:
        return None if self.method == "stork4" and self.places == "published" else "flow"

    @property
    def convergence_order(self) -> float | None:
        if self.converges_to is None:
            return None
        if self.places == "published":
            return 1.0
        return 2.0 if self.method == "stork2" else self.order + 1.0

    @property
    def linear(self) -> bool:
        return True

    def resolve(self, sde: SDE) -> STORK:
        self.stages()
        return self

    def stages(self) -> Stages:
        """The stages of a step.

        Raises:
            BenchError: ROCK4 has no table of so many.
        """
        if self.method == "stork2":
            return gegenbauer(self.substeps, published=self.places == "published")
        degrees = [degree for degree in ROCK4 if degree >= self.substeps]
        if not degrees:
            raise BenchError(f"method=stork4 takes substeps of {max(ROCK4)} at most, not {self.substeps}")
        return rock4(min(degrees), published=self.places == "published")

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


class Stages(NamedTuple):
    """A Runge-Kutta method of s stages.

    Args:
        a: a_ij (s, s), lower triangular.
        b: b_i (s,).
        c: c_i (s,).
    """

    a: Array
    b: Array
    c: Array


@functools.lru_cache(maxsize=4096)
def step_weights(method: STORK, sde: SDE, t: float, t_next: float, times: tuple[float, ...]) -> list[float]:
    """``x' = w x + sum_i w_i eps_i``: w and the w_i. F is linear, and all but x and eps are numbers.

    Args:
        method: The method's parameters.
        sde: The SDE.
        t: Time at which the step starts.
        t_next: Time to which it leads.
        times: The times of the answers eps_i, newest first.
    """
    a, b, c = method.stages()
    h = t_next - t
    at = t + h * c
    own_slopes, noise_slopes = (0.0, 1.0) if method.expansion == "velocity" else slopes(sde, at)
    # each row is a stage's factors of x and of the answers
    inputs = np.zeros((len(c), 1 + len(times)))
    inputs[:, 1:] = (noise_slopes * lagrange(times, at)).T
    start = np.eye(1, 1 + len(times))
    own = np.broadcast_to(own_slopes, len(c))
    # Y = start + h a (own Y + inputs)
    states = np.linalg.solve(np.eye(len(c)) - h * a * own, start + h * (a @ inputs))
    weights: list[float] = (start[0] + h * b @ (own[:, None] * states + inputs)).tolist()
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
def gegenbauer(s: int, *, published: bool) -> Stages:
    """The Runge-Kutta-Gegenbauer method of order 2 in s stages,

        Y_0 = x,   Y_1 = Y_0 + m h F_0,   m = 6 / ((s + 4) (s - 1)),
        Y_j = mu_j Y_(j-1) + nu_j Y_(j-2) + (1 - mu_j - nu_j) Y_0 + h (mu_j m F_(j-1) + g_j F_0),

    of which the last, Y_s, is x'. With ``b_j = 4 (j - 1) (j + 4) / (3 j (j + 1) (j + 2) (j + 3))``, b_0 = 1
    and b_1 = 1/3: ``mu_j = (2 j + 1) b_j / (j b_(j-1))``, ``nu_j = -(j + 1) b_j / (j b_(j-2))``,
    ``g_j = -mu_j m (1 - j (j + 1) b_(j-1) / 2)``.

    Args:
        s: The number of stages.
        published: Whether the times are those of the authors' code.
    """
    b = [1.0, 1 / 3]
    b += [4 * (j - 1) * (j + 4) / (3 * j * (j + 1) * (j + 2) * (j + 3)) for j in range(2, s + 1)]
    m, unit = 6 / ((s + 4) * (s - 1)), np.eye(s)
    rows = [np.zeros(s), m * unit[0]]
    for j in range(2, s + 1):
        mu, nu = (2 * j + 1) * b[j] / (j * b[j - 1]), -(j + 1) * b[j] / (j * b[j - 2])
        gamma = -mu * m * (1 - j * (j + 1) * b[j - 1] / 2)
        rows.append(mu * rows[-1] + nu * rows[-2] + mu * m * unit[j - 1] + gamma * unit[0])
    a, whole = np.array(rows[:s]), s**2 + s - 2
    places = [0.0, 4 / (3 * whole), *((j**2 + j - 2) / whole for j in range(2, s))][:s]
    return Stages(a, rows[s], np.array(places) if published else a.sum(1))


@functools.cache
def rock4(degree: int, *, published: bool) -> Stages:
    """ROCK4 (`bench_fast.rock4.Rock4` has its formula), of the stages Y_0 to Y_m and three more.

    Args:
        degree: m, the degree of its recurrence.
        published: Whether the recurrence begins with ``Y_0 = x + mu_1 h F_0`` and ``Y_1 = x``, both at
            ``t + mu_1 h``, as in the authors' code.
    """
    table, count = ROCK4[degree], degree + 4
    unit = np.eye(count)
    first = table.mu[0] * unit[0]
    before, row = (first, np.zeros(count)) if published else (np.zeros(count), first)
    # of the states before, their places follow by the same recurrence
    place_before, place = (table.mu[0] if published else 0.0), table.mu[0]
    rows, places = [np.zeros(count), row], [0.0, place]
    for j, (mu, kappa) in enumerate(zip(table.mu[1:], table.kappa, strict=True), start=2):
        before, row = row, mu * unit[j - 1] + (1 + kappa) * row - kappa * before
        place_before, place = place, mu + (1 + kappa) * place - kappa * place_before
        rows.append(row)
        places.append(place)
    for factors in (table.a[:1], table.a[1:3], table.a[3:]):
        rows.append(row + np.array(factors) @ unit[degree : degree + len(factors)])
        places.append(place + sum(factors))
    return Stages(np.array(rows), row + np.array(table.b) @ unit[degree:], np.array(places))
