"""The numbers that tell published networks their noise level; those of discrete scales are bench's own."""

from __future__ import annotations

import math

from bench import SDE, Label, NoiseLevel, param


class Time(Label):
    """The time t of the noise level, from 0 for clean data to T; or T - t, as flow matching often counts."""

    name = "t"

    reverse: bool = param(default=False, help="count from the noise: T - t")

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return (1.0 if sde is None else sde.end) - level.t if self.reverse else level.t


class Time999(Label):
    """``999 t``, of score_sde's continuous VP and sub-VP networks (Song et al. 2021)."""

    name = "999t"
    # models/utils.py of score_sde_pytorch
    published = {"vp": {1.0: 999.0, 0.001: 0.999}, "subvp": {0.5: 499.5}}

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return 999 * level.t


class Sigma(Label):
    """sigma(t), the marginal's standard deviation, of score_sde's VE networks (Song et al. 2021)."""

    name = "sigma"
    published = {"ve": {1.0: 50.0, 0.5: math.sqrt(0.5)}}

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return level.sigma


class LogSNR(Label):
    """``ln(alpha^2 / sigma^2)``, the log signal-to-noise ratio (Salimans and Ho 2022).

    Where it is infinite, at alpha = 0, it is that of T - eps.
    """

    name = "log_snr"
    published = {"flow": {0.5: 0.0, 0.25: math.log(9)}}

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        if level.alpha == 0:
            assert sde is not None
            return -2 * sde.log_sigma_ratio_range[1]
        return 2 * math.log(level.alpha / level.sigma)


class EDMNoise(Label):
    """``ln(sigma) / 4``, EDM's c_noise (Karras et al. 2022, Table 1)."""

    name = "edm"
    published = {"ve": {1.0: math.log(50) / 4}}

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        return math.log(level.sigma) / 4
