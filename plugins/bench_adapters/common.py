"""What both adapters need: an installed library's names, settings as text, noise from the run's stream."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast

import numpy as np

from bench import SDE, BenchError, Level, Noise, Solver, Tensor
from bench.errors import did_you_mean

Kind = TypeVar("Kind", bound=Solver)


def need(module: str, family: str) -> None:
    """`BenchError` where a library is not installed."""
    if importlib.util.find_spec(module) is None:
        raise BenchError(f"{family}: needs {module}: pip install 'sampler-bench[{family}]'")


def member_of(family: type[Kind], name: str, key: str) -> type[Kind]:
    """The family's solver ``prefix:name``, with ``name`` in its class attribute ``key``."""
    prefix = family.name.partition(":")[0]
    body = {"name": f"{prefix}:{name}", key: name, "__module__": family.__module__, "__doc__": family.__doc__}
    return cast(type[Kind], type(name, (family,), body))


def settings(text: str, known: Iterable[str], owner: str) -> dict[str, Any]:
    """``key=value,key=value`` -> values as JSON reads them (true, 3, 0.5), or else as text."""
    names, found = sorted(known), {}
    for pair in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise BenchError(f"{owner}: config takes key=value,key=value, not {pair!r}")
        if key not in names:
            raise BenchError(f"{owner} has no setting {key!r}{did_you_mean(key, names)}")
        try:
            found[key] = json.loads(value.lower() if value in ("True", "False") else value)
        except json.JSONDecodeError:
            found[key] = value
    return found


@functools.lru_cache(maxsize=8192)
def level_at(sde: SDE, ratio: float) -> Level:
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


@contextlib.contextmanager
def seeded(seed: int, x: Tensor) -> Iterator[Any]:
    """A generator for x's device, and torch's global ones seeded inside and as they were after."""
    import torch

    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield torch.Generator(device=x.device).manual_seed(seed)
