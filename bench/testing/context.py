"""What checks may use: the registry, the SDEs, and exact data, each read once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from bench.checkpoints.cards import Card
from bench.checkpoints.exact import exact_data
from bench.closed_form.mixture import Mixture, on_range
from bench.diffusion.counting import counted_evaluations
from bench.diffusion.grid import Grid
from bench.diffusion.model import Model
from bench.diffusion.noise import Noise
from bench.diffusion.roles import Corrector, Predictor, Solver
from bench.diffusion.sampler import Sampler, default_denoise
from bench.diffusion.sde import SDE
from bench.plugins.registry import Registry
from bench.testing.laws import Law, LawModel, mixture
from bench.testing.probe import (
    CountedNoise,
    CountedPrediction,
    ObservedModel,
    ObservedPart,
    Part,
    Tensor,
    Trial,
    begun,
    ended,
)

T = TypeVar("T")


class CheckContext:
    """What checks may use.

    The data of exact checkpoints is thinned to `bench.testing.laws.SHAPE` and read once for each range.

    Args:
        registry: Plugins by name: SDEs, exact checkpoints, and the built-in samplers that a sampler is
            compared with.
        sdes: Names of the SDEs that a sampler is checked on.
        seed: Seed of the noise that noisy samplers are judged on.
    """

    def __init__(self, registry: Registry, sdes: Sequence[str] = (), seed: int = 0) -> None:
        self.registry = registry
        self.seed = seed
        self.sdes: list[SDE] = [self.sde(name) for name in sdes]
        self._data: dict[tuple[str, tuple[float, float]], Mixture] = {}
        self._once: dict[object, Any] = {}

    def sde(self, name: str, **values: object) -> SDE:
        """A registered SDE."""
        sde: SDE = self.registry.build("sdes", name, values)
        return sde

    def predictor(self, name: str) -> Predictor:
        """A registered predictor with its default parameters."""
        predictor: Predictor = self.registry.build("predictors", name, {})
        return predictor

    def grid(self, name: str) -> Grid:
        """A registered grid with its default parameters."""
        grid: Grid = self.registry.build("grids", name, {})
        return grid

    def solver(self, name: str, **values: object) -> Solver:
        """A registered solver."""
        solver: Solver = self.registry.build("solvers", name, values)
        return solver

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What ``make`` returns, made at the first call with the key."""
        if key not in self._once:
            self._once[key] = make()
        result: T = self._once[key]
        return result

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

    def law(self, data: Law, sde: SDE) -> Law:
        """Data of the range [-1, 1] on the SDE's own range."""
        return data.mapped(*sde.data_range)

    def model(self, data: Law, sde: SDE, dtype: torch.dtype = torch.float64) -> ObservedModel:
        """The exact model of data of the range [-1, 1], observed."""
        return ObservedModel(LawModel(self.law(data, sde), sde.data_range, dtype))

    def middle(self, sde: SDE) -> SDE:
        """The SDE ended where noise and data are of one size: coordinates' deviations in geometric mean.

        One that ends in noise begins at T - eps.
        """
        log_ratio = float(self.law(mixture(), sde).spread.log().mean())
        t = sde.level_at_half_log_snr(-log_ratio).t
        return ended(begun(sde), min(max(t, sde.eps), 0.8 * sde.end))

    def sampler(
        self, part: Any, sde: SDE, steps: int, grid: str | Grid = "polynomial", *, whole: bool = False
    ) -> Sampler:
        """The part alone in the loop; a corrector beside DDIM, which draws no noise.

        Args:
            part: A predictor, corrector or solver.
            sde: The SDE.
            steps: Steps of the grid; a solver ignores them.
            grid: The time grid, or its name.
            whole: Whether a solver's run ends as a run does by default; otherwise on the solver's result.
        """
        role = part.part if isinstance(part, ObservedPart) else part
        if isinstance(role, Solver):
            return Sampler(sde, solver=part, denoise=default_denoise(role) if whole else "none")
        grid = self.grid(grid) if isinstance(grid, str) else grid
        if isinstance(role, Corrector):
            return Sampler(sde, self.predictor("ddim"), part, steps=steps, grid=grid)
        return Sampler(sde, part, steps=steps, grid=grid)

    def trial(
        self,
        part: Part,
        sde: SDE,
        steps: int,
        start: Tensor,
        *,
        noise: Noise | None = None,
        model: Model | None = None,
        grid: str | Grid = "polynomial",
        whole: bool = False,
    ) -> Trial:
        """Run the part from standard normal noise.

        Args:
            part: A predictor, corrector or solver.
            sde: The SDE.
            steps: Steps of the grid; a solver ignores them.
            start: The prior's noise (B, *shape).
            noise: The part's noise stream; None: one of a fixed seed.
            model: The network; None: that of the mixture in the precision of ``start``.
            grid: The time grid, or its name.
            whole: Whether a solver's run ends as a run does by default, as a predictor's always does.
        """
        observed = ObservedPart(part)
        own = CountedNoise() if noise is None else noise
        if model is None:
            model = self.model(mixture(), sde, start.dtype)
        p = CountedPrediction(model, sde)
        # the loop has a stream for each of predictor and corrector: the part gets its own, DDIM a spare one
        is_corrector = isinstance(part, Corrector)
        streams = (CountedNoise(2), own) if is_corrector else (own, CountedNoise(1))
        sampler = self.sampler(observed, sde, steps, grid, whole=whole)
        with torch.no_grad(), counted_evaluations() as evaluations:
            x = sampler.run(start.clone(), p, *streams)
        seen = model.states_seen if isinstance(model, ObservedModel) else evaluations.count
        counts = (p.total[0], seen, evaluations.count)
        return Trial(
            x,
            math.ceil(max(counts) / len(start)),
            counts,
            getattr(own, "draws", 0),
            observed,
            model,
        )
