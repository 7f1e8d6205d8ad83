"""Metrics that are the mean of a number per image."""

from __future__ import annotations

import math
import operator
from array import array

import numpy as np

from bench import (
    BenchError,
    Blocks,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Tensor,
)


class _PerImage(Metric):
    name = "per_image"

    def start(self, context: MetricContext) -> MetricState:
        del context
        return MeanState(self.name)


class BitsPerDim(_PerImage):
    """Negative log2-likelihood per dimension of pixels 0 to 255, the mean over images.

    The error is that over images; where the likelihood is estimated, it includes what the probes add.
    """

    name = "bits_per_dim"
    axis = "linear"
    inputs = ("bits_per_dim",)
    bias = "the solver's error; none by the probes"


class RoundTrip(_PerImage):
    """Root mean square over pixels between images and what their latents decode to, as a share of the data
    range, the mean over images."""

    name = "round_trip"
    value_kind = "distance"
    inputs = ("round_trip",)


class MeanState(MetricState):
    """The mean of a stream of numbers, a row per image, with the standard error over images."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.batches: Blocks[array[float]] = Blocks(operator.iadd)

    def update(self, values: Tensor) -> None:
        self.batches.add(array("d", values.double().cpu().numpy().tobytes()))

    def leave_one_out(self) -> list[float]:
        blocks = [(math.fsum(values), len(values)) for values in self.batches.parts]
        rests = [[one for i, one in enumerate(blocks) if i not in group] for group in self.batches.groups()]
        return [sum(total for total, _ in rest) / sum(n for _, n in rest) for rest in rests]

    def compute(self) -> MetricResult:
        if not self.batches.parts:
            raise BenchError(f"{self.name} needs a number of at least one image")
        values = np.concatenate(self.batches.parts)
        error = float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else None
        details = {"smallest": float(values.min()), "largest": float(values.max())}
        return MetricResult(float(values.mean()), len(values), error, details=details)
