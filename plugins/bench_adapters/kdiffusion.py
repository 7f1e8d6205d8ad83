"""``kdiffusion:<function>``: a sampler of the k-diffusion library, unchanged, as a solver."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from bench import SDE, BenchError, Noise, Prediction, Solver, Tensor, param
from bench.diffusion.grid import time_grid
from bench.errors import did_you_mean
from bench_adapters.common import entropy, level_at, member_of, need, options, quiet, random, seeded, settings

GIVEN = ("model", "x", "sigmas", "extra_args", "callback", "disable", "noise_sampler")


class KDiffusion(Solver):
    """A k-diffusion sampler on any SDE, in its own coordinates ``y = x / alpha``, ``rho = sigma / alpha``.

    Its model is the denoiser ``(x + sigma^2 s) / alpha`` at the level of rho, its sigmas are the schedule's,
    from T to eps and then zero: it ends on clean data. Its noise is its own, seeded from the run's.
    """

    name = "kdiffusion:<function>"
    libraries = ("k-diffusion",)
    ends_clean = True
    function: ClassVar[str] = ""

    steps: int = param(default=20, help="noise levels, without the last one, zero", low=1)
    schedule: Literal["uniform", "logsnr", "polynomial"] = param(
        default="polynomial", help="what is even: t, ln(sigma / alpha), or (sigma / alpha)^(1 / rho)"
    )
    rho: float = param(default=7.0, help="the polynomial schedule's rho", above=0)
    config: str = param(default="", help="more arguments of the function: eta=0.5,s_churn=10")

    @classmethod
    @functools.cache
    def member(cls, name: str) -> type[Self]:
        name = name.removeprefix("sample_")
        made = _function(name)
        if "sigmas" not in inspect.signature(made).parameters:
            raise BenchError(f"kdiffusion:{name} makes its own noise levels: take one that is given sigmas")
        return member_of(cls, name, "function", options(made, GIVEN))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function:
            self.settings()  # a wrong one is told at once

    @property
    def couples_batch(self) -> bool:
        return self._draws()

    def nfe(self) -> int | None:
        return _tried(self)[0]

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        t = time_grid(sde, self.steps, self.schedule, self.rho)[::-1]
        ratios = (sde.sigma(t) / sde.alpha(t)).tolist()

        def model(y: Tensor, sigma: Tensor) -> Tensor:
            level = level_at(sde, float(sigma[0]))
            s = p.score(y * level.alpha, level)
            return (y * level.alpha).add_(s, alpha=level.sigma**2).div_(level.alpha)

        return self.sample(
            model, x / sde.at(sde.end).alpha, ratios, entropy(noise, x) if self._draws() else 0
        )

    def sample(self, model: Any, y: Tensor, ratios: Sequence[float], seed: int) -> Tensor:
        """The function on noise levels, to which zero is added."""
        sigmas = y.new_tensor([*ratios, 0.0])
        with seeded(seed, y), quiet():
            found: Tensor = _function(self.function)(model, y, sigmas, disable=True, **self.settings())
        return found

    def settings(self) -> dict[str, Any]:
        """``config``, read."""
        return settings(self.config, _function(self.function), GIVEN, self.name)

    def _draws(self) -> bool:
        return _tried(self)[1] or bool(self.settings().get("s_churn"))


@functools.cache
def _tried(solver: KDiffusion) -> tuple[int, bool]:
    """The function's calls of its model, and whether its result depends on noise."""
    import torch

    calls = 0

    def model(y: Tensor, _: Tensor) -> Tensor:  # a constant would be the answer, whatever the noise
        nonlocal calls
        calls += 1
        return y / 2

    def run(seed: int) -> Tensor:
        nonlocal calls
        calls = 0
        levels = np.geomspace(80, 0.002, solver.steps).tolist()  # any
        return solver.sample(model, torch.zeros(1, 1, 2, 2), levels, seed)

    drawn = random(run)
    return calls, drawn


def _function(name: str) -> Any:
    sampling = need("k_diffusion.sampling", "kdiffusion")
    known = [n.removeprefix("sample_") for n in dir(sampling) if n.startswith("sample_")]
    if name not in known:
        raise BenchError(f"k-diffusion has no sampler {name!r}{did_you_mean(name, known)}")
    return getattr(sampling, f"sample_{name}")
