"""Guidance of a network by another network, or by itself without a class."""

from __future__ import annotations

import math

from bench import (
    BatchContext,
    BenchError,
    Card,
    Condition,
    NoiseLevel,
    Prediction,
    Sampler,
    Task,
    Tensor,
    param,
)

NO_END = 1e6
"""The `Guided.high` of guidance at every level, alpha = 0 too."""


class Guided(Task):
    """Images by the score ``s_g + scale (s - s_g)``: away from what the guide's score s_g knows too.

    The guide is another checkpoint of the same images, such as a smaller or less trained network
    (autoguidance, Karras et al. 2024), or the run's own network without a class (classifier-free guidance, Ho
    and Salimans 2022), which must have been trained without classes too. Scores and denoised images are
    affine in each other, so that the same holds of ``D``. At scale 1 there is no guide.

    Guidance can be limited to noise levels with ``low < sigma / alpha <= high``, of images on [-1, 1]
    (Kynkäänniemi et al. 2024). A guided score counts as two network calls.
    """

    name = "guided"

    guide: str = param(
        default="gaussian-cifar10",
        help="checkpoint that guides; none: the run's own network without a class",
    )
    scale: float = param(default=2.0, help="factor of the difference from the guide; 1: no guidance", low=0)
    low: float = param(default=0.0, help="sigma / alpha up to which there is no guidance", low=0)
    high: float = param(default=NO_END, help="sigma / alpha above which there is no guidance", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low >= self.high:
            raise BenchError(f"guided.low must lie below guided.high, not {self.low:g} and {self.high:g}")

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return () if self.guide == "none" else (self.guide,)

    @property
    def score_calls(self) -> int | None:
        """Two with the guide; unknown in advance where guidance is limited to an interval."""
        if self.scale == 1:
            return 1
        return 2 if self.low == 0 and self.high == NO_END else None

    def check(self, card: Card, sampler: Sampler) -> None:
        del sampler
        if self.guide == card.name:
            raise BenchError(f"{card.name} would be guided by itself: give another -P task.guide")
        if self.guide == "none" and not card.null_class:
            raise BenchError(
                f"{card.name} was not trained without classes, so that it can't guide itself: name a "
                "checkpoint by -P task.guide"
            )

    def warm(self, batch: BatchContext) -> None:
        super().warm(batch)
        guide = self._guide(batch)
        guide.score(batch.prior(), guide.sde.end)

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        if self.scale == 1:
            return {"images": batch.model.images(batch.sample())}
        guide = self._guide(batch)
        low, high = batch.sampler.sde.data_range
        condition = Guidance(guide, self.scale, (self.low, self.high), unit=(high - low) / 2)
        return {"images": batch.model.images(batch.sample(condition))}

    def _guide(self, batch: BatchContext) -> Prediction:
        """The guide's prediction."""
        import torch

        if self.guide == "none":
            model = batch.model.of_classes(torch.full((batch.size,), -1, device=batch.device))
            return Prediction(model, batch.prediction.sde, batch.prediction.clock, batch.prediction.labels)
        other, shape = batch.under(self.guide), batch.model.shape
        x = torch.linspace(-1, 1, math.prod(shape), device=batch.device).view(1, *shape)
        if not torch.equal(other.model.images(x), batch.model.images(x)):
            raise BenchError(
                f"{self.guide} has other coordinates than the run's checkpoint: take two networks, or two "
                "closed-form scores"
            )
        return other.prediction


class Guidance(Condition):
    """The score ``s_g + scale (s - s_g)`` within an interval of noise levels.

    Args:
        guide: Gives s_g.
        scale: The factor.
        interval: The levels ``low < sigma / (alpha unit) <= high`` that are guided.
        unit: Half the width of the data range.
    """

    def __init__(
        self, guide: Prediction, scale: float, interval: tuple[float, float], *, unit: float
    ) -> None:
        self.guide_prediction, self.scale, self.interval, self.unit = guide, scale, interval, unit

    def of_rows(self, rows: Tensor) -> Guidance:
        return Guidance(self.guide_prediction.of_rows(rows), self.scale, self.interval, unit=self.unit)

    def combine(self, score: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        if not self.applies(level):
            return score
        return self.guide_prediction.score(x, level).lerp(score, self.scale)

    def combine_denoised(self, denoised: Tensor, x: Tensor, level: NoiseLevel) -> Tensor:
        if not self.applies(level):
            return denoised
        return self.guide_prediction.denoised(x, level).lerp(denoised, self.scale)

    def applies(self, level: NoiseLevel) -> bool:
        """Whether the interval holds the level; alpha = 0, an infinite ratio, only where it has no end."""
        low, high = self.interval
        if level.alpha == 0:
            return high == NO_END
        return low * level.alpha * self.unit < level.sigma <= high * level.alpha * self.unit
