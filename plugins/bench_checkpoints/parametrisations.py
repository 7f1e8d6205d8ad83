"""What published networks answer with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from bench import BenchError, NoiseLevel, Parametrisation, param

if TYPE_CHECKING:
    from bench import Tensor


class Noise(Parametrisation):
    """``E[noise | x]``, that is -sigma score (Ho et al. 2020)."""

    name = "noise"

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return 0.0, 1.0


class Score(Parametrisation):
    """The score ``grad log p_t(x) = -E[noise | x] / sigma`` (Song et al. 2021)."""

    name = "score"

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return 0.0, -1 / level.sigma


class ScaledScore(Parametrisation):
    """``sigma score = -E[noise | x]`` (NCSN, and score_sde's VE networks)."""

    name = "scaled_score"

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return 0.0, -1.0


class Denoised(Parametrisation):
    """The clean data ``E[x0 | x]``."""

    name = "denoised"

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return 1.0, 0.0


class V(Parametrisation):
    """``v = alpha E[noise | x] - sigma E[x0 | x]`` (Salimans and Ho 2022)."""

    name = "v"

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        return -level.sigma, level.alpha


class Velocity(Parametrisation):
    """Flow matching's velocity ``dx/dt = alpha' E[x0 | x] + sigma' E[noise | x]`` (Lipman et al. 2023).

    On ``flow`` it is ``E[noise - x0 | x]``. ``direction`` says which way the network's own time runs: to the
    noise as t does here, or to the data, where its velocity has the other sign.
    """

    name = "velocity"

    direction: Literal["to_noise", "to_data"] = param(
        default="to_noise", help="where the flow leads as the network's own time grows"
    )

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        if level.alpha_slope is None or level.sigma_slope is None:
            raise BenchError(
                "a velocity needs d alpha / dt, which discrete scales don't have: give labels of t, "
                "such as t with factor 1000 for index i = 1000 t"
            )
        sign = 1 if self.direction == "to_noise" else -1
        return sign * level.alpha_slope, sign * level.sigma_slope


class EDM(Parametrisation):
    """The F of EDM's preconditioning, ``E[x0 | x] = c_skip x + c_out F(c_in x)`` (Karras et al. 2022, eq. 7).

    With ``s = sqrt(sigma^2 + sigma_data^2)``: ``c_skip = sigma_data^2 / s^2``, ``c_in = 1 / s`` and
    ``c_out = sigma sigma_data / s``. So ``F = (sigma E[x0 | x] / sigma_data - sigma_data E[noise | x]) / s``.
    States are ``x0 + sigma noise``: alpha is 1.
    """

    name = "edm"

    sigma_data: float = param(default=0.5, help="standard deviation of the data", above=0)

    def weights(self, level: NoiseLevel) -> tuple[float, float]:
        s = math.hypot(level.sigma, self.sigma_data)
        return level.sigma / (self.sigma_data * s), -self.sigma_data / s

    def target(self, x0: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
        variance = level.sigma**2 + self.sigma_data**2
        c_skip, c_out = self.sigma_data**2 / variance, level.sigma * self.sigma_data / math.sqrt(variance)
        return (x0 - c_skip * (x0 + level.sigma * noise)) / c_out

    def input_factor(self, level: NoiseLevel) -> float:
        return 1 / math.hypot(level.sigma, self.sigma_data)
