"""``kdiffusion:<function>``: an unchanged sampler of k-diffusion, or of its signature, as a solver."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import keyword
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from bench import (
    SDE,
    BenchError,
    Noise,
    NoiseLevel,
    Prediction,
    Solver,
    Tensor,
    did_you_mean,
    draw_seed,
    param,
)
from bench_adapters.common import (
    check_evaluations,
    depends_on_seed,
    error_text,
    import_library,
    levels_between,
    make_member,
    options,
    quiet,
    read_settings,
    refusals,
    seeded,
)

FIXED = ("model", "x", "sigmas", "extra_args", "callback", "disable", "noise_sampler")
"""Arguments that the adapter makes itself."""
SIGNATURE = ("model", "x", "sigmas")
"""Arguments that a function must take."""
CLEAN = 1e-3
"""The part of the lowest level's noise below which a result is clean: the rounding of float32."""
LEVELS = (80.0, 0.002)
"""The ends of any noise levels, for properties that do not depend on them."""


class KDiffusion(Solver):
    """A k-diffusion sampler on any SDE, in its own coordinates ``y = x / alpha``, ``rho = sigma / alpha``.

    ``kdiffusion:heun`` is the library's ``sample_heun``; ``kdiffusion:package.module.sample_mine`` a function
    of that signature, ``f(model, x, sigmas, extra_args=None, callback=None, disable=None, ...)``, from a
    module that can be imported. Its model is the denoiser ``E[x0 | x]`` at the level of rho; its sigmas are
    the schedule's, from T to eps and then zero. Its noise is its own, seeded from the run's. A trial before
    the run counts the evaluations per sample, and measures whether it draws noise and leaves any.

    Raises:
        BenchError: The library is not installed, or refuses a setting.
    """

    name = "kdiffusion:<function>"
    libraries: ClassVar[tuple[str, ...]] = ("k-diffusion",)
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
        name = name if "." in name else name.removeprefix("sample_")
        function = _function(name)
        parameters = _parameters(function, name)
        if "sigmas" not in parameters:
            raise BenchError(
                f"kdiffusion:{name} makes its own noise levels: use a function with the argument sigmas"
            )
        if tuple(parameters)[: len(SIGNATURE)] != SIGNATURE:
            raise BenchError(
                f"kdiffusion:{name} has not k-diffusion's signature: its first arguments must be "
                f"{', '.join(SIGNATURE)}, not {', '.join(tuple(parameters)[: len(SIGNATURE)])}"
            )
        member = make_member(cls, name, "function", options(function, FIXED))
        if "." in name:
            member.libraries, member.modules = (), (name.rpartition(".")[0],)
        return member

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function:
            self.settings()  # refuses a wrong setting at once

    @property
    def couples_batch(self) -> bool:
        return self._draws()

    @property
    def ends_clean(self) -> bool:
        return bool(self.function) and _trial(self).noise_left < CLEAN

    def nfe(self) -> int | None:
        return _trial(self).evaluations

    def end_level(self, sde: SDE) -> NoiseLevel:
        rest = self._noise_left(sde)
        return sde.level_at(rest) if rest > 0 else sde.at(sde.eps)

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        import torch

        ratios = self._ratios(sde)
        evaluations = 0.0

        def model(y: Tensor, sigma: Tensor, **_: Any) -> Tensor:
            nonlocal evaluations
            if len(y) % len(x) or bool((sigma != sigma.flatten()[0]).any()):
                raise BenchError(
                    f"{self.name} asks for {len(y)} states of a batch of {len(x)}, or for several noise "
                    "levels at once: each call must be of whole batches at one level"
                )
            evaluations += len(y) / len(x)
            level = sde.level_at(float(sigma.flatten()[0]), clip=True)
            batches = p
            if len(y) > len(x):
                batches = p.of_rows(torch.arange(len(x), device=x.device).repeat(len(y) // len(x)))
            return batches.denoised((y * level.alpha).to(x.dtype), level)

        seed = draw_seed(noise, x) if self._draws() else 0
        sampled = self.sample(model, x / sde.at(sde.end).alpha, ratios, seed)
        check_evaluations(self.name, evaluations, _trial(self).evaluations)
        return sampled if self.ends_clean else sampled * self.end_level(sde).alpha

    def sample(self, model: Any, y: Tensor, ratios: Sequence[float], seed: int) -> Tensor:
        """The function's result on the noise levels sigma / alpha, to which zero is added."""
        sigmas, settings = y.new_tensor([*ratios, 0.0]), self.settings()
        with seeded(seed, y), quiet(), refusals(self.name) as callback:
            sampled: Tensor = _function(self.function)(
                _Model(callback(model)), y, sigmas, extra_args={}, disable=True, **settings
            )
        return sampled

    def settings(self) -> dict[str, Any]:
        """``config`` as arguments of the function."""
        return read_settings(self.config, _function(self.function), FIXED, self.name)

    def _ratios(self, sde: SDE) -> list[float]:
        return [float(ratio) for ratio in levels_between(sde, self.steps, self.schedule, self.rho)]

    def _noise_left(self, sde: SDE) -> float:
        """sigma / alpha of the result: what is left of the noise on data that are zero."""
        import torch

        ratios = self._ratios(sde)
        y = torch.full((1, 1, 1, 1), ratios[0], dtype=torch.float64)
        return float(self.sample(lambda y, _: torch.zeros_like(y), y, ratios, 0).square().mean().sqrt())

    def _draws(self) -> bool:
        return _trial(self).draws_noise or bool(self.settings().get("s_churn"))


class _Model:
    """The denoiser as functions of the signature call it: ``model(x, sigma, **extra_args)``."""

    def __init__(self, call: Callable[..., Tensor]) -> None:
        self.call = call

    def __call__(self, x: Tensor, sigma: Tensor, **extra: Any) -> Tensor:
        del extra
        return self.call(x, sigma)


@dataclasses.dataclass(frozen=True)
class _Trial:
    """What a run on any noise levels shows.

    Args:
        evaluations: Network evaluations per sample.
        draws_noise: Whether the result depends on the seed.
        noise_left: The result's deviation on data that are zero, over that of the lowest level.
    """

    evaluations: int
    draws_noise: bool
    noise_left: float


@functools.cache
def _trial(solver: KDiffusion) -> _Trial:
    """A run on any noise levels; a `BenchError` where the function stops."""
    import torch

    states = 0
    levels = np.geomspace(*LEVELS, solver.steps).tolist()
    start = torch.full((1, 1, 2, 2), LEVELS[0])

    def run(seed: int, part: float) -> Tensor:
        nonlocal states
        states = 0

        def model(y: Tensor, _: Tensor) -> Tensor:
            nonlocal states
            states += len(y)
            return y * part

        return solver.sample(model, start, levels, seed)

    # not a constant: a function may return that, whatever the noise
    random = depends_on_seed(lambda seed: run(seed, 0.5))
    rest = float(run(0, 0.0).square().mean().sqrt()) / levels[-1]
    return _Trial(states, random, rest if math.isfinite(rest) else math.inf)


def _parameters(function: Any, name: str) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError) as error:
        raise BenchError(f"kdiffusion:{name} is no function with a signature") from error


def _function(name: str) -> Any:
    """The function of a name: one of the library's, or ``module.function``."""
    if "." in name:
        return _imported(name)
    sampling = import_library("k_diffusion.sampling", "kdiffusion")
    names = [n.removeprefix("sample_") for n in dir(sampling) if n.startswith("sample_")]
    if name not in names:
        raise BenchError(f"k-diffusion has no sampler {name!r}{did_you_mean(name, names)}")
    return getattr(sampling, f"sample_{name}")


@functools.cache
def _imported(name: str) -> Any:
    """The function ``module.function``; `BenchError` where the name is none, or its import fails."""
    parts = name.split(".")
    if not all(part.isidentifier() and part.isascii() and not keyword.iskeyword(part) for part in parts):
        raise BenchError(
            f"kdiffusion:{name}: put module.function, names of letters, digits and _ with dots between"
        )
    module, _, function = name.rpartition(".")
    try:
        with quiet():
            loaded = importlib.import_module(module)
    except Exception as error:
        raise BenchError(f"kdiffusion:{name}: {module} can't be imported: {error_text(error)}") from error
    member = getattr(loaded, function, None)
    if not callable(member):
        names = [n for n in dir(loaded) if callable(getattr(loaded, n)) and not n.startswith("_")]
        raise BenchError(f"{module} has no function {function!r}{did_you_mean(function, names)}")
    return member
