"""What checks may use: the registry, the SDEs, and exact data, each read once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from bench.checkpoints.cards import Card
from bench.checkpoints.exact import exact_data
from bench.closed_form.mixture import Mixture, on_range
from bench.diffusion.counting import counted_evaluations
from bench.diffusion.grid import GridKind
from bench.diffusion.levels import NoiseLevel
from bench.diffusion.model import Model
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Corrector, Predictor, Solver
from bench.diffusion.sampler import Sampler
from bench.diffusion.sde import SDE
from bench.plugins.registry import Registry
from bench.testing.probe import (
    GAUSSIAN,
    MIXTURE,
    CountedNoise,
    ObservedModel,
    ObservedPart,
    Part,
    Tensor,
    Trial,
    ended,
    prior,
)
from bench.types import Array


class CheckContext:
    """What checks may use.

    Data is thinned to `bench.testing.probe.SHAPE` and read once for each range of data.

    Args:
        registry: Plugins by name: SDEs, exact checkpoints, and the built-in samplers that a sampler is
            compared with.
        sdes: Names of the SDEs that a sampler is checked on.
    """

    def __init__(self, registry: Registry, sdes: Sequence[str] = ()) -> None:
        self.registry = registry
        self.sdes: list[SDE] = [self.sde(name) for name in sdes]
        self._data: dict[tuple[str, tuple[float, float]], Mixture] = {}
        self._flow_ends: dict[SDE, tuple[Tensor, Tensor, int]] = {}

    def sde(self, name: str, **values: object) -> SDE:
        """A registered SDE."""
        sde: SDE = self.registry.build("sdes", name, values)
        return sde

    def predictor(self, name: str) -> Predictor:
        """A registered predictor with its default parameters."""
        predictor: Predictor = self.registry.build("predictors", name, {})
        return predictor

    def solver(self, name: str, **values: object) -> Solver:
        """A registered solver."""
        solver: Solver = self.registry.build("solvers", name, values)
        return solver

    def card(self, name: str) -> Card:
        """The card of a registered checkpoint."""
        card: Card = self.registry.get("checkpoints", name).thing
        return card

    def truth(self, checkpoint: str, sde: SDE) -> Mixture:
        """The data that an exact checkpoint stands for, on the SDE's range and thinned."""
        low, high = sde.data_range
        key = (checkpoint, (low, high))
        if key not in self._data:
            data, color = exact_data(self.card(checkpoint))
            whole = on_range(data, sde.data_range, color)
            mean, variance = (array[:, :, ::4, ::4] for array in (whole.mean, whole.variance))
            self._data[key] = Mixture(whole.weight, mean, variance)
        return self._data[key]

    def model(self, checkpoint: str, sde: SDE, dtype: torch.dtype = torch.float64) -> ObservedModel:
        """The exact model of that data."""
        return ObservedModel(self.truth(checkpoint, sde), sde, dtype)

    def gaussian(self, sde: SDE) -> tuple[Array, Array]:
        """Mean and variance of the Gaussian checkpoint's data, arrays of the thinned shape."""
        data = self.truth(GAUSSIAN, sde)
        return data.mean[0], data.variance[0]

    def marginal(self, sde: SDE, level: NoiseLevel) -> tuple[Array, Array]:
        """Mean and variance of the Gaussian data at a noise level."""
        mean, variance = self.gaussian(sde)
        return level.alpha * mean, level.alpha**2 * variance + level.sigma**2

    def middle(self, sde: SDE) -> SDE:
        """The SDE ended where noise and data are of one size: coordinates' deviations in geometric mean."""
        _, variance = self.gaussian(sde)
        log_ratio = float(np.log(variance).mean() / 2)
        t = sde.level_at_half_log_snr(-log_ratio).t
        return ended(sde, min(max(t, sde.eps), 0.8 * sde.end))

    def sampler(self, part: Any, sde: SDE, steps: int, grid: GridKind = "polynomial") -> Sampler:
        """The part alone in the loop; a corrector beside DDIM, which draws no noise."""
        role = part.part if isinstance(part, ObservedPart) else part
        if isinstance(role, Solver):
            return Sampler(sde, solver=part, denoise="none")
        if isinstance(role, Corrector):
            return Sampler(sde, self.predictor("ddim"), part, steps=steps, grid=grid)
        return Sampler(sde, part, steps=steps, grid=grid, denoise="none")

    def trial(
        self,
        part: Part,
        sde: SDE,
        steps: int,
        start: Tensor,
        *,
        noise: Noise | None = None,
        model: Model | None = None,
        grid: GridKind = "polynomial",
    ) -> Trial:
        """Run the part from standard normal noise.

        Args:
            part: A predictor, corrector or solver.
            sde: The SDE.
            steps: Steps of the grid; a solver ignores them.
            start: The prior's noise (B, *shape).
            noise: The part's noise stream; None: one of a fixed seed.
            model: The network; None: the Gaussian checkpoint in the precision of ``start``.
            grid: The time grid.
        """
        observed = ObservedPart(part)
        own = CountedNoise() if noise is None else noise
        if model is None:
            model = self.model(GAUSSIAN, sde, start.dtype)
        p = Prediction(model, sde)
        # the loop has a stream for each of predictor and corrector: the part gets its own, DDIM a spare one
        is_corrector = isinstance(part, Corrector)
        streams = (CountedNoise(2), own) if is_corrector else (own, CountedNoise(1))
        with torch.no_grad(), counted_evaluations() as evaluations:
            x = self.sampler(observed, sde, steps, grid).run(start.clone(), p, *streams)
        calls = math.ceil(evaluations.count / len(start))
        return Trial(x, calls, getattr(own, "draws", 0), observed, model)

    def flow_end(self, sde: SDE) -> tuple[Tensor, Tensor, int]:
        """The mixture's flow from T to the SDE's end by RK45 at tolerance 1e-9.

        Returns:
            The prior noise (2, *shape) that the loop starts from, the end of the flow, and the network calls.
        """
        if sde not in self._flow_ends:
            data, level = self.truth(MIXTURE, sde), sde.at(sde.end)
            mean, variance = data.mean.mean(axis=0), data.variance.mean(axis=0)
            deviation = torch.from_numpy(np.sqrt(level.alpha**2 * variance + level.sigma**2))
            start = (torch.from_numpy(level.alpha * mean) + prior(2) * deviation) / sde.prior_std
            trial = self.trial(self.solver("rk45", tol=1e-9), sde, 0, start, model=self.model(MIXTURE, sde))
            self._flow_ends[sde] = start, trial.x, trial.calls
        return self._flow_ends[sde]
