"""``azula:<Sampler>``: a sampler of the azula library, unchanged, as a solver."""

from __future__ import annotations

import functools
import inspect
from typing import Any, ClassVar, Literal, Self

import numpy as np

from bench import SDE, Array, BenchError, Noise, Prediction, Solver, Tensor, did_you_mean, draw_seed, param
from bench_adapters.common import (
    check_evaluations,
    depends_on_seed,
    import_library,
    levels_between,
    make_member,
    options,
    quiet,
    read_settings,
    refusals,
    seeded,
)

FIXED = ("denoiser", "start", "stop", "steps", "silent", "dtype", "device", "kwargs")
"""Arguments that the adapter makes itself."""


class Azula(Solver):
    """An azula sampler on any SDE, with azula's own loop, on ``steps + 1`` levels from T to eps.

    Azula's time u falls from 1 to 0 in equal steps; its schedule gives the SDE's alpha and sigma at the level
    of u. Its denoiser's mean is ``E[x0 | x]``. Its result is the state at eps, for a run's denoising step.
    Its noise is its own, seeded from the run's. A trial before the run counts the evaluations per sample.

    Raises:
        BenchError: The library is not installed, or refuses a setting.
    """

    name = "azula:<Sampler>"
    libraries = ("azula",)
    sampler: ClassVar[str] = ""

    steps: int = param(default=20, help="azula's steps: levels, without the last one, eps", low=1)
    schedule: Literal["uniform", "logsnr", "polynomial"] = param(
        default="polynomial", help="what is even: t, ln(sigma / alpha), or (sigma / alpha)^(1 / rho)"
    )
    rho: float = param(default=7.0, help="the polynomial schedule's rho", above=0)
    config: str = param(default="", help="more of the sampler's arguments: eta=0.5,order=3")

    @classmethod
    @functools.cache
    def member(cls, name: str) -> type[Self]:
        return make_member(cls, name, "sampler", options(_sampler(name).__init__, FIXED))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler:
            self.settings()  # refuses a wrong setting at once

    @property
    def couples_batch(self) -> bool:
        return _trial(self)[1]

    def nfe(self) -> int | None:
        return _trial(self)[0]

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        ratios = levels_between(sde, self.steps + 1, self.schedule, self.rho)
        levels = [sde.level_at(float(ratio), clip=True) for ratio in ratios]
        marginals = np.array([(level.alpha, level.sigma) for level in levels])
        evaluations = 0

        def denoise(y: Tensor, index: int) -> Tensor:
            nonlocal evaluations
            evaluations += 1
            return p.denoised(y, levels[index])

        seed = draw_seed(noise, x) if self.couples_batch else 0
        sampled = self.sample(denoise, x, marginals, seed)
        check_evaluations(self.name, evaluations, _trial(self)[0])
        return sampled

    def sample(self, denoise: Any, x: Tensor, marginals: Array, seed: int) -> Tensor:
        """The sampler's result.

        Args:
            denoise: ``denoise(x, index) -> E[x0 | x]`` at a level by its number from T.
            x: The state at T (B, ...).
            marginals: alpha and sigma of the levels (steps + 1, 2), from T.
            seed: Seed of its noise.
        """
        import torch

        with seeded(seed, x), quiet(), refusals(self.name) as callback:
            denoiser = _denoiser(callback(denoise), torch.from_numpy(marginals).to(x))
            sampler = _sampler(self.sampler)(
                denoiser, steps=self.steps, silent=True, dtype=torch.float64, **self.settings()
            )
            sampled: Tensor = sampler(x).to(x.dtype)
        return sampled

    def settings(self) -> dict[str, Any]:
        """``config`` as arguments of the sampler."""
        return read_settings(self.config, _sampler(self.sampler).__init__, FIXED, self.name)


@functools.cache
def _trial(solver: Azula) -> tuple[int, bool]:
    """The sampler's evaluations per sample, and whether its result depends on noise."""
    import torch

    calls = 0
    sigmas = np.geomspace(80, 0.002, solver.steps + 1)
    marginals = np.stack([np.ones_like(sigmas), sigmas], axis=1)

    def run(seed: int) -> Tensor:
        nonlocal calls
        calls = 0

        def denoise(x: Tensor, _: int) -> Tensor:
            nonlocal calls
            calls += 1
            return x / 2

        return solver.sample(denoise, torch.full((1, 1, 2, 2), 80.0, dtype=torch.float64), marginals, seed)

    random = depends_on_seed(run)
    return calls, random


def _denoiser(denoise: Any, marginals: Tensor) -> Any:
    """Azula's denoiser, with a schedule of the levels."""
    from azula.denoise import Denoiser, DiracPosterior

    steps = len(marginals) - 1

    def index_of(t: Tensor) -> Tensor:
        return ((1 - t) * steps).round().long()

    class Levels(Denoiser):  # type: ignore[misc]
        """E[x0 | x] of the run's network."""

        def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
            """alpha and sigma of times u."""
            alpha, sigma = marginals[index_of(t.to(marginals.device))].unbind(-1)
            return alpha, sigma

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            """The posterior's mean alone."""
            return DiracPosterior(mean=denoise(x_t, int(index_of(t))))

    return Levels()


def _sampler(name: str) -> Any:
    """The sampler's class; `BenchError` where azula has none of that name, or is not installed."""
    module = import_library("azula.sample", "azula")
    names = [n for n in module.__all__ if n != "Sampler"]
    if name not in names:
        raise BenchError(f"azula has no sampler {name!r}{did_you_mean(name, names)}")
    sampler = getattr(module, name)
    assert inspect.isclass(sampler)
    return sampler
