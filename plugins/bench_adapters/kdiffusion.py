"""``kdiffusion:<function>``: a sampler of the k-diffusion library, unchanged, as a solver."""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any, ClassVar, Literal, Self

from bench import SDE, BenchError, Noise, ScoreFunction, Solver, Tensor, param
from bench.errors import did_you_mean
from bench.sde import scales
from bench_adapters.common import entropy, level_at, member_of, need, seeded, settings

GIVEN = ("model", "x", "sigmas", "extra_args", "callback", "disable", "noise_sampler")


class KDiffusion(Solver):
    """A k-diffusion sampler on any SDE, in its own coordinates ``y = x / alpha``, ``rho = sigma / alpha``.

    Its model is the denoiser ``(x + sigma^2 s) / alpha`` at the level of rho, its sigmas are the schedule's,
    from T to eps and then zero: it ends on clean data. Noise comes from the run's own stream.
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
        need("k_diffusion", "kdiffusion")
        name = name.removeprefix("sample_")
        made = _function(name)
        if "sigmas" not in inspect.signature(made).parameters:
            raise BenchError(f"kdiffusion:{name} makes its own noise levels: take one that is given sigmas")
        return member_of(cls, name, "function")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function:
            self._settings()

    def solve(self, x: Tensor, sde: SDE, score: ScoreFunction, noise: Noise) -> Tensor:
        import torch

        function, given = _function(self.function), self._settings()
        ratios = [s.sigma / s.alpha for s in scales(sde, self.steps, self.schedule, self.rho)]
        sigmas = torch.tensor([*ratios, 0.0], dtype=x.dtype, device=x.device)
        takes_noise = "noise_sampler" in inspect.signature(function).parameters
        if takes_noise:
            given["noise_sampler"] = lambda *_: noise(x)

        def model(y: Tensor, sigma: Tensor) -> Tensor:
            level = level_at(sde, float(sigma[0]))
            s = score(y * level.alpha, level)
            return (y * level.alpha).add_(s, alpha=level.sigma**2).div_(level.alpha)

        seed = entropy(noise, x) if not takes_noise and given.get("s_churn", 0) else 0
        with seeded(seed, x), warnings.catch_warnings(action="ignore"):
            found: Tensor = function(model, x / sde.at(sde.end).alpha, sigmas, disable=True, **given)
        return found

    def _settings(self) -> dict[str, Any]:
        known = set(inspect.signature(_function(self.function)).parameters) - set(GIVEN)
        return settings(self.config, known, self.name)


def _function(name: str) -> Any:
    with warnings.catch_warnings(action="ignore"):
        from k_diffusion import sampling

    known = [n.removeprefix("sample_") for n in dir(sampling) if n.startswith("sample_")]
    if name not in known:
        raise BenchError(f"k-diffusion has no sampler {name!r}{did_you_mean(name, known)}")
    return getattr(sampling, f"sample_{name}")
