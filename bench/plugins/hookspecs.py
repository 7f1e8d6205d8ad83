"""Hook specifications: one hook per role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("bench")
hookimpl = pluggy.HookimplMarker("bench")

Register = Callable[[Any], None]
"""``register(thing)``: a role's class with a ``name``, or for checkpoints a card."""

KINDS = (
    "tasks",
    "sdes",
    "predictors",
    "correctors",
    "solvers",
    "metrics",
    "extractors",
    "checkpoints",
    "readers",
    "executors",
)


class Hooks:
    """The hooks; each is handed ``register`` and calls it once per thing."""

    @hookspec
    def register_tasks(self, register: Register) -> None:
        """Register subclasses of `bench.Task`."""

    @hookspec
    def register_sdes(self, register: Register) -> None:
        """Register subclasses of `bench.SDE`."""

    @hookspec
    def register_predictors(self, register: Register) -> None:
        """Register subclasses of `bench.Predictor`."""

    @hookspec
    def register_correctors(self, register: Register) -> None:
        """Register subclasses of `bench.Corrector`."""

    @hookspec
    def register_solvers(self, register: Register) -> None:
        """Register subclasses of `bench.Solver`."""

    @hookspec
    def register_metrics(self, register: Register) -> None:
        """Register subclasses of `bench.Metric`."""

    @hookspec
    def register_extractors(self, register: Register) -> None:
        """Register subclasses of `bench.Extractor`."""

    @hookspec
    def register_checkpoints(self, register: Register) -> None:
        """Register `bench.Card` objects."""

    @hookspec
    def register_readers(self, register: Register) -> None:
        """Register subclasses of `bench.Reader`."""

    @hookspec
    def register_executors(self, register: Register) -> None:
        """Register subclasses of `bench.Executor`."""
