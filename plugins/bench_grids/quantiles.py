"""Time grids at evenly spaced quantiles of a distribution of time."""

from __future__ import annotations

import numpy as np

from bench import SDE, Array, Grid, param


class Beta(Grid):
    """``t = eps + (T - eps) q(u)``, q the quantiles of Beta(alpha, beta), u evenly spaced from 1 to 0.

    Below 1 both parameters crowd the steps at the two ends (Lee et al. 2024, "Beta Sampling is All You
    Need"; 0.6 and 0.6, with both ends among the times, as diffusers has it).
    """

    name = "beta"

    alpha: float = param(default=0.6, help="first parameter: below 1, steps crowd at eps", above=0, high=100)
    beta: float = param(default=0.6, help="second parameter: below 1, steps crowd at T", above=0, high=100)

    def times(self, sde: SDE, steps: int) -> Array:
        from scipy.special import betaincinv

        q = betaincinv(self.alpha, self.beta, np.linspace(1, 0, steps))
        return np.asarray(sde.eps + (sde.end - sde.eps) * q)


class LogitNormal(Grid):
    """``t = eps + (T - eps) q(u)``, ``ln(q / (1 - q)) ~ N(mean, std^2)``, u evenly spaced from 1 to 0.

    Networks of flow matching are trained at times of this distribution (Esser et al. 2024, eq. 19): its
    quantiles spread the steps as the training spread its examples.
    """

    name = "logit_normal"

    mean: float = param(default=0.0, help="mean of the logit; above 0, more steps at large noise")
    std: float = param(default=1.0, help="standard deviation of the logit", above=0, high=10)

    def times(self, sde: SDE, steps: int) -> Array:
        from scipy.special import expit, ndtri

        q = expit(self.mean + self.std * ndtri(np.linspace(1, 0, steps)))
        return np.asarray(sde.eps + (sde.end - sde.eps) * q)
