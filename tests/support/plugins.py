"""Registries for tests: what is installed, and empty ones; plugins to put into them."""

from __future__ import annotations

import functools
from typing import Any, Literal

from bench import Noise, Prediction, Predictor, Register, Step, Tensor, Update, hookimpl, param
from bench.plan.installed import installed_registry, roles
from bench.plugins.registry import Registry
from tests.support.paths import ROOT


@functools.cache
def installed() -> Registry:
    """The registry of what is installed, shared by all tests of a process: add to a copy, not to it."""
    return installed_registry(ROOT)


def empty_registry() -> Registry:
    """A registry of nothing."""
    return Registry(roles())


def hooks(kind: str, *things: Any) -> object:
    """A plugin that registers the things, all of one kind."""

    def hook(register: Register) -> None:
        for thing in things:
            register(thing)

    hook.__name__ = f"register_{kind}"
    return type("Hooks", (), {hook.__name__: staticmethod(hookimpl(hook))})()


class Still(Predictor):
    """Stays where it is.

    Nothing more.
    """

    name = "still"

    gain: float = param(default=1.0, help="a factor", above=0, high=2)
    moves: int = param(default=3, help="a count", low=1)
    mode: Literal["fast", "good"] = param(default="good", help="a choice")
    limit: float | None = param(default=None, help="an optional number", low=-1)
    loud: bool = param(default=False, help="a switch")
    label: str = param(default="x", help="a text")

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(x, x)
