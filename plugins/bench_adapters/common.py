"""What both adapters need: an installed library's names, settings as text, noise from the run's stream."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import math
import textwrap
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar, cast

import numpy as np

from bench import SDE, BenchError, Noise, NoiseLevel, Solver, Tensor
from bench.errors import did_you_mean

Kind = TypeVar("Kind", bound=Solver)


def need(module: str, family: str) -> Any:
    """The library's module; `BenchError` where it is not installed, or can't be imported."""
    library = module.partition(".")[0]
    try:
        with quiet():
            return importlib.import_module(module)
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        if isinstance(error, ModuleNotFoundError) and error.name == library:
            said = "it is not installed"
        how = f"pip install 'sampler-bench[{family}]', in a clone pip install -e '.[{family}]'"
        raise BenchError(f"{family} needs {library}: {said}: {how}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What a library warns of its own code is not for our users."""
    with warnings.catch_warnings(action="ignore"):
        yield


def member_of(family: type[Kind], name: str, key: str, known: dict[str, Any]) -> type[Kind]:
    """The family's solver ``prefix:name``, with ``name`` in its class attribute ``key``."""
    prefix = family.name.partition(":")[0]
    told = textwrap.fill(" ".join(f"{k}={v}" for k, v in known.items()), 100, break_on_hyphens=False)
    body = {
        "name": f"{prefix}:{name}",
        key: name,
        "__module__": family.__module__,
        "__doc__": f"{inspect.getdoc(family)}\n\nSettings that config takes, with their defaults:\n\n{told}",
    }
    return cast(type[Kind], type(name, (family,), body))


def options(call: Any, fixed: Iterable[str]) -> dict[str, Any]:
    """What ``call`` takes, but for the adapter's own, with defaults."""
    found = inspect.signature(call).parameters.values()
    return {p.name: p.default for p in found if p.name not in {"self", *fixed}}


def settings(text: str, call: Any, fixed: Collection[str], owner: str) -> dict[str, Any]:
    """``key=value,key=value`` -> values for ``call``, as JSON reads them (true, 3, 0.5), or else as text.

    Those of ``fixed`` are the adapter's own. A value is of its default's type, where there is a default.
    """
    defaults, found = options(call, fixed), {}
    for pair in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise BenchError(f"{owner}: config takes key=value,key=value, not {pair!r}")
        if key in fixed:
            raise BenchError(f"{owner}: {key} is not to be set: the SDE and the network decide it")
        if key not in defaults:
            listing = f"bench show {owner}"
            raise BenchError(f"{owner} has no setting {key!r}{did_you_mean(key, defaults, listing)}")
        try:
            found[key] = json.loads(value.lower() if value in ("True", "False") else value)
        except json.JSONDecodeError:
            found[key] = None if value in ("none", "None") else value
        kinds = (int, float) if type(defaults[key]) in (int, float) else type(defaults[key])
        if isinstance(defaults[key], bool | int | float | str) and (
            not isinstance(found[key], kinds) or isinstance(found[key], bool) is not (kinds is bool)
        ):
            raise BenchError(f"{owner}: {key} must be as its default, {defaults[key]!r}, not {value!r}")
    return found


@functools.lru_cache(maxsize=8192)
def level_at(sde: SDE, ratio: float) -> NoiseLevel:
    """The SDE's level where ``sigma / alpha`` is ``ratio``, within its own range."""
    ends = np.array([sde.eps, sde.end])
    low, high = np.log(sde.sigma(ends) / sde.alpha(ends))
    (t,) = sde.time_at(np.array([min(max(math.log(ratio), low), high)]))
    return sde.at(float(min(max(t, sde.eps), sde.end)))


def entropy(noise: Noise, x: Tensor) -> int:
    """A seed from the run's stream: the bits of two normal draws."""
    import torch

    low, high = noise(x).flatten()[:2].to(torch.float32).view(torch.int32).tolist()
    return int((high & 0x7FFFFFFF) << 32 | (low & 0xFFFFFFFF))


def random(run: Callable[[int], Tensor]) -> bool:
    """Whether the result of ``run(seed)`` depends on the seed."""
    import torch

    return not torch.equal(run(0), run(1))


@contextlib.contextmanager
def seeded(seed: int, x: Tensor) -> Iterator[Any]:
    """A generator for x's device, and torch's global ones seeded inside and as they were after."""
    import torch

    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield torch.Generator(device=x.device).manual_seed(seed)
