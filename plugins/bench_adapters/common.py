"""What both adapters need: an installed library's names, settings as text, noise from the run's stream."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import textwrap
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar, cast

import numpy as np

from bench import SDE, Array, BenchError, Solver, Tensor, did_you_mean

Kind = TypeVar("Kind", bound=Solver)
Call = TypeVar("Call", bound=Callable[..., Any])


def import_library(module: str, extra: str) -> Any:
    """The library's module; `BenchError` where it is not installed, or its import fails.

    ``extra`` is the optional dependency of this distribution that installs it.
    """
    library = module.partition(".")[0]
    try:
        with quiet():
            return importlib.import_module(module)
    except Exception as error:
        reason = error_text(error)
        if isinstance(error, ModuleNotFoundError) and error.name == library:
            reason = "it is not installed"
        remedy = f"in a clone of sampler-bench, pip install -e '.[{extra}]'"
        raise BenchError(f"{extra} needs {library}: {reason}: {remedy}") from error


def error_text(error: Exception) -> str:
    """An error's type and message without line breaks."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings: those of a library about its own code do not concern our users."""
    with warnings.catch_warnings(action="ignore"):
        yield


@contextlib.contextmanager
def refusals(owner: str) -> Iterator[Callable[[Call], Call]]:
    """What a library raises inside becomes a `BenchError` of one line.

    The context's value wraps a function that the library calls back, the network: its own errors pass.
    """
    passing: list[Exception] = []

    def callback(call: Call) -> Call:
        @functools.wraps(call)
        def called(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except Exception as error:
                passing.append(error)
                raise

        return cast(Call, called)

    try:
        yield callback
    except Exception as error:
        if isinstance(error, BenchError) or any(error is one for one in passing):
            raise
        raise BenchError(f"{owner}: the library stops with {error_text(error)}") from error


def make_member(family: type[Kind], name: str, key: str, settings: dict[str, Any]) -> type[Kind]:
    """The family's solver ``family:name``, with ``name`` in its class attribute ``key``."""
    prefix = family.name.partition(":")[0]
    listing = textwrap.fill(" ".join(f"{k}={v}" for k, v in settings.items()), 100, break_on_hyphens=False)
    body = {
        "name": f"{prefix}:{name}",
        key: name,
        "__module__": family.__module__,
        "__doc__": f"{inspect.getdoc(family)}\n\nSettings in config, with their defaults:\n\n{listing}",
    }
    return cast(type[Kind], type(name, (family,), body))


def options(call: Any, fixed: Iterable[str]) -> dict[str, Any]:
    """The parameters of ``call`` with their defaults, without those that the adapter sets itself."""
    parameters = inspect.signature(call).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in {"self", *fixed}}


def read_settings(text: str, call: Any, fixed: Collection[str], owner: str) -> dict[str, Any]:
    """``key=value,key=value`` -> values for ``call``, read as JSON (true, 3, 0.5), or else as text.

    The adapter sets those of ``fixed`` itself. A value has its default's type, where there is a default.
    """
    defaults, values = options(call, fixed), dict[str, Any]()
    for pair in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise BenchError(f"{owner}: config takes key=value,key=value, not {pair!r}")
        if key in fixed:
            raise BenchError(f"{owner}: {key} can't be set: the SDE and the network decide it")
        if key not in defaults:
            listing = f"bench show {owner}"
            raise BenchError(f"{owner} has no setting {key!r}{did_you_mean(key, defaults, listing)}")
        try:
            values[key] = json.loads(value.lower() if value in ("True", "False") else value)
        except json.JSONDecodeError:
            values[key] = None if value in ("none", "None") else value
        kinds = (int, float) if type(defaults[key]) in (int, float) else type(defaults[key])
        if isinstance(defaults[key], bool | int | float | str) and (
            not isinstance(values[key], kinds) or isinstance(values[key], bool) is not (kinds is bool)
        ):
            raise BenchError(
                f"{owner}: {key} must have the type of its default, {defaults[key]!r}, not {value!r}"
            )
    return values


def levels_between(sde: SDE, count: int, schedule: str, rho: float) -> Array:
    """sigma / alpha of noise levels that fall from T to eps; T's alone for one.

    Args:
        sde: The run's SDE.
        count: Number of levels.
        schedule: What is even: ``uniform`` t, ``logsnr`` ln(sigma / alpha), ``polynomial``
            (sigma / alpha)^(1 / rho).
        rho: The polynomial schedule's rho.
    """
    t = np.linspace(sde.end, sde.eps, count)
    ratio: Array = sde.sigma(t) / sde.alpha(t)
    if schedule == "uniform":
        return ratio
    if schedule == "logsnr":
        return np.geomspace(ratio[0], ratio[-1], count)
    low, high = ratio[[-1, 0]] ** (1 / rho)
    return np.asarray(np.linspace(high, low, count) ** rho)


def check_evaluations(owner: str, evaluations: float, declared: int) -> None:
    """Refuse a batch whose samples took another number of network evaluations than a trial did."""
    if evaluations != declared:
        raise BenchError(
            f"{owner} took {evaluations:g} network evaluations per sample, and {declared} in its trial "
            "before the run: its cost depends on the data, which no NFE states"
        )


def depends_on_seed(run: Callable[[int], Tensor]) -> bool:
    """Whether the result of ``run(seed)`` depends on the seed."""
    import torch

    return not torch.equal(run(0), run(1))


@contextlib.contextmanager
def seeded(seed: int, x: Tensor) -> Iterator[Any]:
    """A generator for x's device, and torch's global ones seeded inside and restored after."""
    import torch

    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield torch.Generator(device=x.device).manual_seed(seed)
