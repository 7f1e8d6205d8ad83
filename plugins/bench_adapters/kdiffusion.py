"""``kdiffusion:<function>``: a sampler of the k-diffusion library, unchanged, as a solver."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from bench import (
    SDE,
    Array,
    BenchError,
    Noise,
    Prediction,
    Solver,
    Tensor,
    did_you_mean,
    draw_seed,
    param,
)
from bench_adapters.common import (
    depends_on_seed,
    import_library,
    make_member,
    options,
    quiet,
    read_settings,
    refusals,
    seeded,
)

FIXED = ("model", "x", "sigmas", "extra_args", "callback", "disable", "noise_sampler")
"""Arguments that the adapter makes itself."""


class KDiffusion(Solver):
    """A k-diffusion sampler on any SDE, in its own coordinates ``y = x / alpha``, ``rho = sigma / alpha``.

    Its model is the denoiser ``(x + sigma^2 s) / alpha`` at the level of rho; its sigmas are the schedule's,
    from T to eps and then zero: it ends on clean data. Its noise is its own, seeded from the run's.

    Raises:
        BenchError: The library is not installed, or refuses a setting.
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
        function = _function(name)
        if "sigmas" not in inspect.signature(function).parameters:
            raise BenchError(
                f"kdiffusion:{name} makes its own noise levels: use a function with the argument sigmas"
            )
        return make_member(cls, name, "function", options(function, FIXED))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function:
            self.settings()  # refuses a wrong setting at once

    @property
    def couples_batch(self) -> bool:
        return self._draws()

    def nfe(self) -> int | None:
        return _trial(self)[0]

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        ratios = self.levels(sde).tolist()

        def model(y: Tensor, sigma: Tensor) -> Tensor:
            level = sde.level_at(float(sigma[0]), clip=True)
            s = p.score(y * level.alpha, level)
            return (y * level.alpha).add_(s, alpha=level.sigma**2).div_(level.alpha)

        seed = draw_seed(noise, x) if self._draws() else 0
        return self.sample(model, x / sde.at(sde.end).alpha, ratios, seed)

    def levels(self, sde: SDE) -> Array:
        """sigma / alpha of the steps, falling from T to eps; T's alone for one step."""
        t = np.linspace(sde.end, sde.eps, self.steps)
        ratio: Array = sde.sigma(t) / sde.alpha(t)
        if self.schedule == "uniform":
            return ratio
        if self.schedule == "logsnr":
            return np.geomspace(ratio[0], ratio[-1], self.steps)
        low, high = ratio[[-1, 0]] ** (1 / self.rho)
        return np.asarray(np.linspace(high, low, self.steps) ** self.rho)

    def sample(self, model: Any, y: Tensor, ratios: Sequence[float], seed: int) -> Tensor:
        """The function's result on the noise levels sigma / alpha, to which zero is added."""
        sigmas, settings = y.new_tensor([*ratios, 0.0]), self.settings()
        with seeded(seed, y), quiet(), refusals(self.name) as callback:
            sampled: Tensor = _function(self.function)(callback(model), y, sigmas, disable=True, **settings)
        return sampled

    def settings(self) -> dict[str, Any]:
        """``config`` as arguments of the function."""
        return read_settings(self.config, _function(self.function), FIXED, self.name)

    def _draws(self) -> bool:
        return _trial(self)[1] or bool(self.settings().get("s_churn"))


@functools.cache
def _trial(solver: KDiffusion) -> tuple[int, bool]:
    """The function's calls of its model, and whether its result depends on noise."""
    import torch

    calls = 0

    # not a constant: a function may return that, whatever the noise
    def model(y: Tensor, _: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return y / 2

    def run(seed: int) -> Tensor:
        nonlocal calls
        calls = 0
        levels = np.geomspace(80, 0.002, solver.steps).tolist()  # any
        return solver.sample(model, torch.zeros(1, 1, 2, 2), levels, seed)

    random = depends_on_seed(run)
    return calls, random


def _function(name: str) -> Any:
    sampling = import_library("k_diffusion.sampling", "kdiffusion")
    names = [n.removeprefix("sample_") for n in dir(sampling) if n.startswith("sample_")]
    if name not in names:
        raise BenchError(f"k-diffusion has no sampler {name!r}{did_you_mean(name, names)}")
    return getattr(sampling, f"sample_{name}")
