"""The distance of a sampler's samples from the probability flow's, sample by sample."""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from bench import (
    Array,
    BenchError,
    Blocks,
    CompanionRun,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    NoValueError,
    Sampler,
    Tensor,
    ValueKind,
    draws_noise,
    param,
)

COARSER = 10.0
"""Ratio of the tolerances of the two solutions whose distance is the floor."""


class FlowError(Metric):
    """Distance of each sample from the probability flow's solution that starts from the same prior noise:
    ``mean_i sqrt(mean_j (x_ij - y_ij)^2)`` over samples i and their coordinates j, in images on [0, 1].

    From one prior noise, a deterministic sampler has one right answer on a checkpoint: the solution y of
    ``dx/dt = f(t) x - g(t)^2 score / 2`` from T to eps. y is a run by ``solver`` at tolerance ``tol``; where
    the measured run ends on clean data, so does y, on ``E[x0 | x(eps)]``. The result's ``floor`` is the
    distance of y from the solution at ten times the tolerance: a smaller value is not resolved.

    Zero says that the sampler solves the flow, not that its samples are good: that is up to the checkpoint. A
    stochastic sampler has no such value.

    Source: Song et al. (2021), eq. 13.
    """

    name = "flow_error"
    value_kind: ClassVar[ValueKind] = "distance"
    min_samples = 2

    solver: str = param(default="rk45", help="solver of the fine solution, with a parameter tol")
    tol: float = param(default=1e-6, help="tolerance of the fine solution", low=1e-12)

    @property
    def coarse_tol(self) -> float:
        """Tolerance of the coarser solution, in decimals, so that a user's run at it is the same run."""
        return float(f"{COARSER * self.tol:.12g}")

    def check_sampler(self, sampler: Sampler) -> None:
        solver = sampler.solver
        tol = None if solver is None or solver.name != self.solver else solver.values().get("tol")
        if isinstance(tol, float) and tol <= self.coarse_tol:
            raise NoValueError(
                f"{self.name} takes {self.solver} at tolerance {self.tol:g} for the truth and at "
                f"{self.coarse_tol:g} for the floor, and this run is no coarser: choose a smaller "
                "-P metric.tol"
            )
        if draws_noise(sampler):
            parts = (sampler.solver, sampler.predictor, sampler.corrector)
            names = " + ".join(part.name for part in parts if part is not None and part.name != "none")
            raise NoValueError(
                f"{self.name} measures deterministic samplers: {names} draws noise, so its samples have no "
                "one right answer; choose another metric for it"
            )

    def companions(self, sampler: Sampler) -> Mapping[str, CompanionRun]:
        # a predictor's last step is to clean data, whatever noise it leaves out
        clean = sampler.solver is None or sampler.denoise != "none" or sampler.solver.ends_clean
        return {
            name: CompanionRun(self.solver, {"tol": tol}, denoise="tweedie" if clean else "none")
            for name, tol in (("fine", self.tol), ("coarse", self.coarse_tol))
        }

    def start(self, context: MetricContext) -> MetricState:
        del context
        return FlowErrorState()


class FlowErrorState(MetricState):
    """`FlowError` under way: one distance per sample, by block of batches."""

    def __init__(self) -> None:
        self.errors: Blocks[array[float]] = Blocks(operator.iadd)
        self.floors = 0.0

    def update(self, images: Tensor, fine: Tensor, coarse: Tensor) -> None:  # type: ignore[override]
        self.errors.add(array("d", distances(images, fine).tobytes()))
        self.floors += float(distances(fine, coarse).sum())

    def leave_one_out(self) -> list[float]:
        blocks = [(math.fsum(errors), len(errors)) for errors in self.errors.parts]
        rests = [[one for i, one in enumerate(blocks) if i not in group] for group in self.errors.groups()]
        return [sum(total for total, _ in rest) / sum(n for _, n in rest) for rest in rests]

    def compute(self) -> MetricResult:
        if not self.errors.parts:
            raise BenchError("flow_error needs at least one sample")
        errors = np.concatenate(self.errors.parts)
        n, value, floor = len(errors), float(errors.mean()), self.floors / len(errors)
        error = float(errors.std(ddof=1)) / math.sqrt(n) if n > 1 else None
        note = f"at the floor {floor:.2g} of the fine solution" if value <= floor else ""
        quantiles = {f"{q:.0%}": float(np.quantile(errors, q)) for q in (0.05, 0.5, 0.95)}
        return MetricResult(value, n, error, note, {"quantiles": quantiles}, floor=floor)


def distances(x: Tensor, y: Tensor) -> Array:
    """Root mean square of the difference over each sample's coordinates, (B,)."""
    result: Array = (x.double() - y.double()).flatten(1).square().mean(dim=1).sqrt().numpy()
    return result
