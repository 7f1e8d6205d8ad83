"""Distributions in the plane. Each lies about in the square [-1, 1]^2."""

from __future__ import annotations

import numpy as np

from bench import Array, Toy


class EightGaussians(Toy):
    """Eight normal distributions of equal weight, means evenly on the circle of radius 3/4, standard
    deviation 1/16."""

    name = "eight_gaussians"
    source = "centers as in Grathwohl et al. (2019, FFJORD), Figure 2"

    radius = 0.75
    std = 0.0625

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        angle = rng.integers(0, 8, n) * (np.pi / 4)
        center = self.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return np.asarray(center + self.std * rng.standard_normal((n, 2)))


class TwoMoons(Toy):
    """Two half circles of radius 1/2 about (-1/4, -1/8) and (1/4, 1/8), the upper half of the first and the
    lower half of the second, with normal noise of standard deviation 1/32."""

    name = "two_moons"
    source = "shape as in scikit-learn's make_moons"

    std = 0.03125

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        side = rng.choice([1.0, -1.0], n)
        angle = rng.uniform(0, np.pi, n)
        x = 0.5 * side * np.cos(angle) - 0.25 * side
        y = 0.5 * side * np.sin(angle) - 0.125 * side
        return np.stack([x, y], axis=1) + self.std * rng.standard_normal((n, 2))


class Checkerboard(Toy):
    """The uniform distribution on eight of the sixteen squares of side 1/2 in [-1, 1]^2."""

    name = "checkerboard"
    source = "squares as in Grathwohl et al. (2019, FFJORD), Figure 2"

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        row = rng.integers(0, 4, n)
        column = 2 * rng.integers(0, 2, n) + row % 2
        return np.stack([column, row], axis=1) / 2 - 1 + rng.uniform(0, 0.5, (n, 2))


class Spiral(Toy):
    """Two arms ``+-(t / 10) (-cos t, sin t)`` with t = 3 pi sqrt(u), u uniform on [0, 1], and normal noise of
    standard deviation 1/50."""

    name = "spiral"
    source = "arms as in Grathwohl et al. (2019, FFJORD), Figure 2"

    std = 0.02

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        t = 3 * np.pi * np.sqrt(rng.uniform(0, 1, n))
        arm = rng.choice([1.0, -1.0], n) * t / 10
        points = np.stack([-arm * np.cos(t), arm * np.sin(t)], axis=1)
        return np.asarray(points + self.std * rng.standard_normal((n, 2)))


class SwissRoll(Toy):
    """One arm ``(t / 15) (cos t, sin t)`` with t = 3/2 pi (1 + 2 u), u uniform on [0, 1], and normal noise of
    standard deviation 1/50."""

    name = "swiss_roll"
    source = "arm as in scikit-learn's make_swiss_roll, without its second coordinate"

    std = 0.02

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        t = 1.5 * np.pi * (1 + 2 * rng.uniform(0, 1, n))
        points = np.stack([np.cos(t), np.sin(t)], axis=1) * t[:, None] / 15
        return np.asarray(points + self.std * rng.standard_normal((n, 2)))
