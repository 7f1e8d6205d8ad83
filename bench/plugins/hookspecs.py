"""Hook specifications: one hook per kind of plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("bench")
hookimpl = pluggy.HookimplMarker("bench")
"""Decorator of a plugin's hook functions: ``register_predictors(register)`` and the others, one per role."""

Register = Callable[[Any], None]
"""What a hook receives: ``register(cls)`` adds a plugin class; ``register(card)`` adds a `Card`."""

KINDS = {
    "tasks": "Task",
    "sdes": "SDE",
    "grids": "Grid",
    "predictors": "Predictor",
    "correctors": "Corrector",
    "solvers": "Solver",
    "metrics": "Metric",
    "extractors": "Extractor",
    "datasets": "Dataset",
    "checkpoints": "Card",
    "readers": "Reader",
    "parametrisations": "Parametrisation",
    "labels": "Label",
    "executors": "Executor",
    "loggers": "Logger",
}
"""Kinds of plugins, each with the public name in `bench` of its role's class."""


@hookspec
def register_tasks(register: Register) -> None:
    """Register subclasses of `bench.Task`."""


@hookspec
def register_sdes(register: Register) -> None:
    """Register subclasses of `bench.SDE`."""


@hookspec
def register_grids(register: Register) -> None:
    """Register subclasses of `bench.Grid`."""


@hookspec
def register_predictors(register: Register) -> None:
    """Register subclasses of `bench.Predictor`."""


@hookspec
def register_correctors(register: Register) -> None:
    """Register subclasses of `bench.Corrector`."""


@hookspec
def register_solvers(register: Register) -> None:
    """Register subclasses of `bench.Solver`."""


@hookspec
def register_metrics(register: Register) -> None:
    """Register subclasses of `bench.Metric`."""


@hookspec
def register_extractors(register: Register) -> None:
    """Register subclasses of `bench.Extractor`."""


@hookspec
def register_datasets(register: Register) -> None:
    """Register subclasses of `bench.Dataset`."""


@hookspec
def register_checkpoints(register: Register) -> None:
    """Register `bench.Card` objects."""


@hookspec
def register_readers(register: Register) -> None:
    """Register subclasses of `bench.Reader`."""


@hookspec
def register_parametrisations(register: Register) -> None:
    """Register subclasses of `bench.Parametrisation`."""


@hookspec
def register_labels(register: Register) -> None:
    """Register subclasses of `bench.Label`."""


@hookspec
def register_executors(register: Register) -> None:
    """Register subclasses of `bench.Executor`."""


@hookspec
def register_loggers(register: Register) -> None:
    """Register subclasses of `bench.Logger`."""
