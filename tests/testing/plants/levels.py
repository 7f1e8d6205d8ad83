"""What a plant needs of a step: the ratio sigma / alpha, the next level, and slopes in that ratio."""

from __future__ import annotations

from bench import NoiseLevel, Prediction, Step, Tensor


def ratio(level: NoiseLevel) -> float:
    """``r = sigma / alpha``."""
    return level.sigma / level.alpha


def next_ratio(step: Step) -> float:
    """r of the next level."""
    return step.sigma_next / step.alpha_next


def next_level(step: Step) -> NoiseLevel:
    """The level that the step leads to."""
    return NoiseLevel(step.t_next, step.alpha_next, step.sigma_next)


def slope(y: Tensor, level: NoiseLevel, p: Prediction) -> Tensor:
    """``dy/dr = E[noise | x]`` of the flow in ``y = x / alpha``."""
    return p.noise(level.alpha * y, level)
