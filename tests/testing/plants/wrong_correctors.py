"""Wrong correctors."""

from __future__ import annotations

import math

from bench import Noise, Prediction, Step, Tensor, Update, param
from tests.testing.plants.right_correctors import AnnealedMoves, Langevin


class MeanMoves(Langevin):
    """Shrinks the state by 1 % besides: pulled to zero, not to the mean."""

    name = "wrong_mean_moves"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        update = super().step(x, step, p, noise)
        return Update(update.x - 0.01 * x, update.mean - 0.01 * x)


class HalfTheNoise(Langevin):
    """Noise of ``sqrt(e)`` for ``sqrt(2 e)``."""

    name = "wrong_half_the_noise"

    def deviation(self, step: Step) -> float:
        return math.sqrt(self.e(step))


class TwiceTheStep(Langevin):
    """A step of 2 e with the noise of e."""

    name = "wrong_twice_the_step"

    def score(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return 2 * p.score(x, step)


class DownTheScore(Langevin):
    """Goes down the score."""

    name = "wrong_down_the_score"

    def score(self, x: Tensor, step: Step, p: Prediction) -> Tensor:
        return -p.score(x, step)


class TwoMovesForOne(Langevin):
    """Makes two moves at each level, and declares one."""

    name = "wrong_two_moves_for_one"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        return super().step(super().step(x, step, p, noise).x, step, p, noise)


class NoisyMean(Langevin):
    """Its mean includes its noise."""

    name = "wrong_noisy_mean"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        x = super().step(x, step, p, noise).x
        return Update(x, x)


class SmoothedScore(Langevin):
    """The score a noise level away, in a random direction: on average right where the score is affine."""

    name = "wrong_smoothed_score"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        mean = x + self.e(step) * p.score(x + step.sigma * noise(x), step)
        return Update(mean + self.deviation(step) * noise(x), mean)


class SizeSquared(Langevin):
    """The noise has size^2 where the step has size: right at 1, its default."""

    name = "wrong_size_squared"

    def deviation(self, step: Step) -> float:
        return self.size * super().deviation(step)


class SharedChannelNoise(Langevin):
    """All channels get one noise: each number keeps its law, and no two do."""

    name = "wrong_shared_channel_noise"

    def draw(self, x: Tensor, step: Step, noise: Noise) -> Tensor:
        return noise(x)[:, :1].expand_as(x)


class AtTheLastLevel(Langevin):
    """At the last level, where the samples are made, it forgets its noise's factor of two."""

    name = "wrong_at_the_last_level"

    def deviation(self, step: Step) -> float:
        return super().deviation(step) * (math.sqrt(0.5) if step.last else 1.0)


class MovesForgotten(AnnealedMoves):
    """The noise shrinks with the number of moves: right at one, its default here."""

    name = "wrong_moves_forgotten"
    moves: int = param(default=1, help="moves at each level", low=1)

    def deviation(self, step: Step) -> float:
        return super().deviation(step) / math.sqrt(self.moves)


class MoveNoiseByTen(Langevin):
    """10 % too much noise."""

    name = "wrong_move_noise_by_10"

    def deviation(self, step: Step) -> float:
        return 1.1 * super().deviation(step)


class MoveNoiseByThree(Langevin):
    """3 % too much noise."""

    name = "wrong_move_noise_by_3"

    def deviation(self, step: Step) -> float:
        return 1.03 * super().deviation(step)
