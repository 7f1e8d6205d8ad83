"""The result of each built-in sampler on Gaussian data, written from the paper's formulas alone.

Nothing here reads the plugins' coefficients: this is the other side of the comparison. Data has mean
``mu`` and variance ``lam`` per coefficient, so the score at a scale is ``(alpha mu - x) / v`` with
``v = alpha^2 lam + sigma^2`` and every update is linear in x: moments follow by a recursion.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from bench import Array


@dataclasses.dataclass(frozen=True)
class Case:
    """A run by names; ``snr`` and ``moves`` are the corrector's."""

    sde: str
    predictor: str
    corrector: str = "none"
    steps: int = 60
    snr: float = 0.16
    moves: int = 1
    order: str = "corrector_first"
    denoise: str = "mean"
    label_scales: int | None = None
    trained: int | None = None
    """Number of discrete scales that the score was trained at; None where it is exact everywhere."""


@dataclasses.dataclass
class Law:
    """The paper's table of SDEs with CIFAR-10's constants, dx = 25^t dw, the cosine schedule (T = 4000), and
    x = (1 - t) x0 + t noise and x = cos(pi t / 2) x0 + sin(pi t / 2) noise (chains: the transition)."""

    name: str
    sigma_min: float = 0.01
    sigma_max: float = 50.0
    beta_min: float = 0.1
    beta_max: float = 20.0

    @property
    def eps(self) -> float:
        return {"ve": 1e-5, "vp_cosine": 1 / 4000}.get(self.name, 1e-3)

    def times(self, steps: int) -> Array:
        times = self.eps + (1 - self.eps) * np.arange(steps) / (steps - 1)
        # improved DDPM takes a subset of its 4000 scales
        return np.array(strided(4000, steps)) / 4000 if self.name == "vp_cosine" else times

    @property
    def prior_variance(self) -> float:
        if self.name == "ve_exp":
            return (25.0**2 - 1) / (2 * math.log(25))
        return self.sigma_max**2 if self.name == "ve" else 1.0

    def beta(self, t: float) -> float:
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def alpha(self, t: float) -> float:
        if self.name in ("ve", "ve_exp"):
            return 1.0
        if self.name == "vp_cosine":
            at = round(4000 * t)
            assert abs(at - 4000 * t) < 1e-9
            return math.sqrt(cosine_products()[at])
        if self.name == "flow":
            return 1 - t
        if self.name == "flow_cosine":
            return 0.0 if t == 1 else math.cos(math.pi / 2 * t)
        return math.exp(-0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min)

    def sigma(self, t: float) -> float:
        if self.name == "ve":
            return float(self.sigma_min * (self.sigma_max / self.sigma_min) ** t)
        if self.name == "ve_exp":
            return math.sqrt((25.0 ** (2 * t) - 1) / (2 * math.log(25)))
        if self.name == "flow":
            return t
        square = self.alpha(t) ** 2
        return 1 - square if self.name == "subvp" else math.sqrt(1 - square)

    def drift(self, t: float) -> float:
        if self.name == "vp_cosine":
            return -0.5 * self.squared_diffusion(t)
        if self.name == "flow":
            return -1 / (1 - t)
        if self.name == "flow_cosine":
            return -math.pi / 2 * math.tan(math.pi / 2 * t)
        return 0.0 if self.name in ("ve", "ve_exp") else -0.5 * self.beta(t)

    def squared_diffusion(self, t: float) -> float:
        if self.name == "ve":
            return self.sigma(t) * self.sigma(t) * 2 * math.log(self.sigma_max / self.sigma_min)
        if self.name == "ve_exp":
            return math.pow(25.0, 2 * t)
        if self.name == "vp":
            return self.beta(t)
        if self.name == "flow":
            return 2 * t / (1 - t)
        if self.name == "flow_cosine":
            return math.pi * math.tan(math.pi / 2 * t)
        if self.name == "vp_cosine":
            # -d ln alpha^2 / dt of eq. 17; over the last scale ln alpha^2 falls evenly by ln 1000
            if t > 3999.5 / 4000:
                return 4000 * math.log(1000)
            return math.pi / 1.008 * math.tan((t + 0.008) / 1.008 * math.pi / 2)
        return self.beta(t) * (1 - math.exp(-2 * self.beta_min * t - (self.beta_max - self.beta_min) * t**2))


def strided(scales: int, steps: int) -> list[int]:
    """The scales, counted from 1, that improved-diffusion's ``space_timesteps(scales, [steps])`` takes.

    Its published rule: the k-th is the sum of k strides ``(scales - 1) / (steps - 1)``, added one by one and
    rounded as Python rounds.
    """
    stride = (scales - 1) / (steps - 1) if steps > 1 else 1
    taken, position = [], 0.0
    for _ in range(steps):
        taken.append(1 + round(position))
        position += stride
    return taken


@functools.cache
def cosine_products() -> list[float]:
    """Products of 1 - beta_i of the cosine schedule (Nichol & Dhariwal 2021, eq. 17), T = 4000; [0] is 1."""

    def f(t: float) -> float:
        return math.cos((t / 4000 + 0.008) / 1.008 * math.pi / 2) ** 2

    products = [1.0]
    for t in range(4000):
        products.append(products[-1] * (1 - min(1 - f(t + 1) / f(t), 0.999)))
    return products


Answers = dict[float, tuple[float, float, float]]
"""(alpha, sigma, factor) by the time of a step: the score is the factor times that of this marginal."""


class Moments:
    """The recursion: mean ``m``, variance ``s``, and ``noiseless``, the variance without the last noise."""

    def __init__(self, mu: Array, lam: Array, law: Law, answers: Answers) -> None:
        """``answers``: of the times where the score is not that of the marginal at that time."""
        self.mu, self.lam, self.law, self.answers = mu, lam, law, answers
        self.m = np.zeros_like(mu)
        self.s = np.full_like(lam, law.prior_variance)
        self.noiseless = self.s

    def update(self, t: float, a: float, b: float, c2: float) -> None:
        """``x <- a x + b score(x, t) + sqrt(c2) z``."""
        alpha, v, factor = self.marginal(t)
        b = b * factor
        self.m = a * self.m + b * (alpha * self.mu - self.m) / v
        self.noiseless = (a - b / v) ** 2 * self.s
        self.s = self.noiseless + c2

    def from_noise(self, alpha: float, sigma: float) -> None:
        """``x <- alpha E[x0] + sigma x``: from pure noise, where x tells nothing of x0."""
        self.m = alpha * self.mu + sigma * self.m
        self.noiseless = self.s = sigma**2 * self.s

    def marginal(self, t: float) -> tuple[float, Array, float]:
        """alpha, variances and the factor of the score that is used at t."""
        exact = (self.law.alpha(t), self.law.sigma(t), 1.0) if t not in self.answers else None
        alpha, sigma, factor = exact or self.answers[t]
        return alpha, alpha**2 * self.lam + sigma**2, factor

    def score_norm(self, t: float) -> float:
        alpha, v, factor = self.marginal(t)
        return factor * mean_norm((alpha * self.mu - self.m) / v, self.s / v**2)


def trained_score(law: Law, scales: int, t: float, i: int, n: int) -> tuple[float, float, float]:
    """(alpha, sigma, factor) of a score that was trained at ``scales`` scales, at scale i of n >= scales.

    The optimum of the discrete objective, asked as score_sde_pytorch asks its networks. VP: the noise
    prediction of label t (N - 1), over -sigma of the chain of n; VE: sigma times the score, of label
    (n - 1 - i) N / n from the largest noise on (i / 2 of 2 N, Table 1), over sigma_i. Between two labels ln
    alpha (of VE ln sigma) is linear in the label; below the smallest noise it is that one.
    """
    if law.name == "ve":
        label = min((n - 1 - i) * scales / n, scales - 1)
        sigma = law.sigma_max * (law.sigma_min / law.sigma_max) ** (label / (scales - 1))
        return 1.0, sigma, sigma / (law.sigma_min * (law.sigma_max / law.sigma_min) ** (i / (n - 1)))
    assert law.name == "vp"
    label = t * (scales - 1)
    below = min(int(label), scales - 2)
    low, high = (math.log(vp_product(law, k, scales)) / 2 for k in (below, below + 1))
    alpha = math.exp(low + (label - below) * (high - low))
    sigma = math.sqrt(1 - alpha**2)
    return alpha, sigma, sigma / math.sqrt(1 - vp_product(law, i, n))


@functools.cache
def vp_products(beta_min: float, beta_max: float, n: int) -> list[float]:
    """Products of ``1 - beta_i`` with beta_i even from beta_min / n to beta_max / n (DDPM)."""
    products, product = [], 1.0
    for i in range(n):
        product *= 1 - (beta_min + i / (n - 1) * (beta_max - beta_min)) / n
        products.append(product)
    return products


def vp_product(law: Law, i: int, n: int) -> float:
    """alpha^2 of scale i of DDPM's chain of n."""
    return vp_products(law.beta_min, law.beta_max, n)[i]


def mean_norm(mean: Array, variance: Array) -> float:
    """E|y| for y ~ N(mean, diag(variance)), from E|y|^2 and Var|y|^2 to second order."""
    square = float((mean**2 + variance).sum())
    fluctuation = float((2 * variance**2 + 4 * mean**2 * variance).sum())
    return math.sqrt(square) - fluctuation / (8 * square * math.sqrt(square))


def predict(state: Moments, case: Case, i: int, times: Array) -> None:
    """One reverse step from scale i (0 is the smallest noise) to i - 1."""
    law, n, t = state.law, case.steps, float(times[i])
    below = float(times[i - 1]) if i else 0.0
    if case.predictor == "none":
        return
    if law.alpha(t) == 0:
        state.from_noise(law.alpha(below), law.sigma(below))
        return
    if case.predictor == "euler_maruyama":
        dt = t - below
        g2 = law.squared_diffusion(t)
        state.update(t, 1 - law.drift(t) * dt, g2 * dt, g2 * dt)
        return
    if case.predictor == "ddim":
        # x' = alpha' E[x0 | x] + sigma' E[noise | x]; t = 0 is clean data: alpha = 1, sigma = 0
        alpha, sigma = law.alpha(t), law.sigma(t)
        alpha_, sigma_ = (law.alpha(below), law.sigma(below)) if i else (1.0, 0.0)
        state.update(t, alpha_ / alpha, alpha_ * sigma**2 / alpha - sigma_ * sigma, 0.0)
        return
    if case.predictor == "euler_ancestral":
        # k-diffusion's, of y = x / alpha at sigma / alpha: a step to sigma_down, then noise of sigma_up
        alpha, alpha_ = law.alpha(t), law.alpha(below) if i else 1.0
        rho, rho_ = law.sigma(t) / alpha, law.sigma(below) / alpha_ if i else 0.0
        up2 = rho_**2 * (rho**2 - rho_**2) / rho**2
        down = math.sqrt(rho_**2 - up2)
        state.update(t, alpha_ / alpha, alpha_ * law.sigma(t) * (rho - down), alpha_**2 * up2)
        return
    beta = law.beta_min / n + i / (n - 1) * (law.beta_max - law.beta_min) / n
    sigmas = [law.sigma_min * (law.sigma_max / law.sigma_min) ** (k / (n - 1)) for k in (i - 1, i)]
    if i == 0:
        sigmas[0] = 0.0
    if case.predictor == "ancestral":
        if law.name == "ve":
            g2 = sigmas[1] ** 2 - sigmas[0] ** 2
            state.update(t, 1.0, g2, sigmas[0] ** 2 * g2 / sigmas[1] ** 2)
        elif law.name == "vp":
            a = math.sqrt(1 - beta)
            state.update(t, 1 / a, beta / a, beta)
        else:
            # t = 0 is clean data: alpha = 1, sigma = 0
            a = law.alpha(t) / law.alpha(below)
            g2 = law.sigma(t) ** 2 - a**2 * law.sigma(below) ** 2
            state.update(t, 1 / a, g2 / a, g2 * law.sigma(below) ** 2 / law.sigma(t) ** 2)
        return
    # forward step x_{i} = x_{i-1} + f x_{i-1} + G z
    if law.name == "ve":
        f, g2 = 0.0, sigmas[1] ** 2 - sigmas[0] ** 2
    elif law.name == "vp":
        f, g2 = math.sqrt(1 - beta) - 1, beta
    elif law.name in ("vp_cosine", "flow", "flow_cosine"):
        a = law.alpha(t) / law.alpha(below)
        f, g2 = a - 1, law.sigma(t) ** 2 - a**2 * law.sigma(below) ** 2
    else:
        f, g2 = law.drift(t) / n, law.squared_diffusion(t) / n
    if case.predictor == "reverse_diffusion":
        state.update(t, 1 - f, g2, g2)
    elif case.predictor == "probability_flow":
        state.update(t, 1 - f, 0.5 * g2, 0.0)
    else:
        raise AssertionError(f"no formula for the predictor {case.predictor}: write it here")


def correct(state: Moments, case: Case, i: int, times: Array) -> None:
    """``case.moves`` Langevin moves at scale i, norms at their expectation."""
    law, n, t = state.law, case.steps, float(times[i])
    if case.corrector == "none":
        return
    if law.name in ("ve", "ve_exp"):
        a = 1.0
    elif law.name == "vp":
        a = 1 - (law.beta_min / n + i / (n - 1) * (law.beta_max - law.beta_min) / n)
    else:
        a = (law.alpha(t) / (law.alpha(float(times[i - 1])) if i else 1.0)) ** 2
    for _ in range(case.moves):
        if case.corrector == "langevin":
            noise = mean_norm(np.zeros_like(state.mu), np.ones_like(state.lam))
            e = 2 * a * (case.snr * noise / state.score_norm(t)) ** 2
        elif case.corrector == "annealed_langevin":
            e = 2 * a * (case.snr * law.sigma(t)) ** 2
        else:
            raise AssertionError(f"no formula for the corrector {case.corrector}: write it here")
        state.update(t, 1.0, e, 2 * e)


def moments(case: Case, mu: Array, lam: Array) -> tuple[Array, Array]:
    """Mean and variance per coefficient of the run's samples."""
    law = Law(case.sde)
    times = law.times(case.steps)
    answers: Answers = {}
    for i, t in enumerate(times):
        index, count, at = i, case.steps, float(t)
        if case.label_scales is not None:
            index, count = i * case.label_scales // case.steps, case.label_scales
            at = float(law.times(count)[index])
            answers[float(t)] = law.alpha(at), law.sigma(at), 1.0
        if case.trained is not None:
            answers[float(t)] = trained_score(law, case.trained, at, index, count)
    state = Moments(mu, lam, law, answers)
    for i in reversed(range(case.steps)):
        if case.order == "corrector_first":
            correct(state, case, i, times)
        predict(state, case, i, times)
        if case.order == "predictor_first" and i > 0:
            correct(state, case, i - 1, times)
    if case.denoise == "mean":
        return state.m, state.noiseless
    if case.denoise == "tweedie":
        alpha, sigma = law.alpha(law.eps), law.sigma(law.eps)
        state.update(law.eps, 1 / alpha, sigma**2 / alpha, 0.0)
    return state.m, state.s
