"""Right correctors."""

from __future__ import annotations

import math
from typing import ClassVar

from bench import Corrector, Noise, Prediction, Step, Tensor, Update, param


class Langevin(Corrector):
    """``x' = x + e s + sqrt(2 e) z`` with ``e = (0.1 size sigma)^2``; a mistake may replace each part."""

    name = "right_langevin"
    uses_chain = False
    calls: ClassVar[int] = 1

    size: float = param(default=1.0, help="step over a tenth of the noise level", above=0, high=10)

    def e(self, step: Step) -> float:
        return (0.1 * self.size * step.sigma) ** 2

    def deviation(self, step: Step) -> float:
        return math.sqrt(2 * self.e(step))

    def score(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return p.score(x, step)

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return noise(x)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        mean = x + self.e(step) * self.score(x, step, p)
        return Update(mean + self.deviation(step) * self.draw(x, step, noise), mean)


class TwoMoves(Langevin):
    """Two moves at each level."""

    name = "right_two_moves"
    calls = 2


class AnnealedMoves(Langevin):
    """Annealed Langevin dynamics with a number of moves at each level (Song and Ermon 2019)."""

    name = "right_annealed_moves"

    moves: int = param(default=5, help="moves at each level", low=1)

    @property
    def calls(self) -> int:  # type: ignore[override]
        return self.moves


class OwnNorms(Corrector):
    """``e = 2 (0.05 |z| / |s|)^2`` of each sample's own norms: the step depends on the sample."""

    name = "right_own_norms"
    uses_chain = False
    calls = 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        s, z = p.score(x, step), noise(x)
        shape = (-1, *[1] * (x.dim() - 1))
        e = 2 * (0.05 * z.flatten(1).norm(dim=1) / s.flatten(1).norm(dim=1)) ** 2
        mean = x + e.view(shape) * s
        return Update(mean + (2 * e).sqrt().view(shape) * z, mean)


class Preconditioned(Langevin):
    """Langevin dynamics with a step of its own for each channel."""

    name = "right_preconditioned"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        weight = x.new_tensor([1.0 + 0.5 * (c % 2) for c in range(x.shape[1])])
        e = self.e(step) * weight.view(1, -1, *[1] * (x.dim() - 2))
        mean = x + e * p.score(x, step)
        return Update(mean + (2 * e).sqrt() * noise(x), mean)
