"""Ancestral sampling by Euler's method, as k-diffusion has it."""

from __future__ import annotations

import math

from bench import Step, param
from bench_fast.ddim import DDIM


class EulerAncestral(DDIM):
    """``y' = y + (rho_down - rho) eps + rho_up z`` with ``y = x / alpha``, ``rho = sigma / alpha``.

    ``rho_up = eta rho' sqrt(rho^2 - rho'^2) / rho`` and ``rho_down^2 = rho'^2 - rho_up^2``. On every SDE that
    is DDIM with the same eta, here 1 by default: one network call a step. The last step is the expected data.

    Source: Song, Meng and Ermon (2021), eq. 12 and 16; k-diffusion's ``sample_euler_ancestral``.
    """

    name = "euler_ancestral"

    eta: float = param(default=1.0, help="share of ancestral sampling's noise: 0 none", low=0, high=1)


def ancestral_ratios(step: Step, eta: float) -> tuple[float, float]:
    """rho_down, to which a step leads, and rho_up, the deviation of the noise that brings it to rho'."""
    start, end = step.sigma / step.alpha, step.sigma_next / step.alpha_next
    up = eta * end * math.sqrt(start**2 - end**2) / start
    return math.sqrt(end**2 - up**2), up
