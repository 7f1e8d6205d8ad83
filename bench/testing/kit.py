"""The conformance kit: checks a plugin or a checkpoint against the rules of its role, on data whose truth is
known."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.checkpoints.cards import Card
from bench.checkpoints.label import Label
from bench.checkpoints.parametrisation import Parametrisation
from bench.checkpoints.readers import Reader
from bench.data.dataset import Dataset
from bench.diffusion.fitting import Fittable
from bench.diffusion.grid import Grid
from bench.diffusion.roles import Corrector, Predictor, SamplerPart, Solver
from bench.diffusion.sde import SDE
from bench.engine.executor import Executor
from bench.errors import BenchError, did_you_mean
from bench.events import Advance, Emit, silent
from bench.metrics.role import Metric
from bench.params import Plugin
from bench.plan.installed import installed_registry
from bench.plugins.hookspecs import KINDS
from bench.plugins.registry import Registry
from bench.results.loggers import Logger
from bench.tasks.role import Task
from bench.testing import SDES
from bench.testing.context import CheckContext
from bench.testing.power import power_of
from bench.testing.report import Finding, Point, Report, guard

_BASES: dict[str, type[Plugin | Card]] = {
    "predictor": Predictor,
    "corrector": Corrector,
    "solver": Solver,
    "sde": SDE,
    "grid": Grid,
    "metric": Metric,
    "executor": Executor,
    "logger": Logger,
    "task": Task,
    "dataset": Dataset,
    "parametrisation": Parametrisation,
    "label": Label,
    "reader": Reader,
    "checkpoint": Card,
}

ROLES = tuple(_BASES)
"""The roles that can be checked."""


def role_of(plugin: Plugin | Card) -> str:
    """The role of a plugin; ``checkpoint`` of a card.

    Raises:
        BenchError: There are no checks for it.
    """
    for role, base in _BASES.items():
        if isinstance(plugin, base):
            return role
    raise BenchError(f"{plugin!r} is none of {', '.join(ROLES)}: there is nothing to check")


def find_plugin(name: str, role: str | None, values: Mapping[str, Any], registry: Registry) -> Plugin | Card:
    """A registered plugin, or the card of a checkpoint, by its name.

    Args:
        name: The name; ``family:member`` for a member of a family.
        role: Its role; None where one role alone has the name.
        values: Parameter values.
        registry: Plugins by name.

    Raises:
        BenchError: No plugin has the name, plugins of several roles have it, or a parameter is wrong.
    """
    if role is not None and role not in ROLES:
        raise BenchError(f"unknown role {role!r}{did_you_mean(role, ROLES)}")
    kinds = [f"{one}s" for one in ([role] if role else ROLES)]
    matching = [kind for kind in kinds if _has(registry, kind, name)]
    if not matching:
        if role is not None:
            registry.get(kinds[0], name)  # raises, with the names that there are
        for kind in KINDS:
            if kind not in kinds and _has(registry, kind, name):
                raise BenchError(f"nothing to check is called {name!r}: {kind} have no checks")
        known = {known for kind in kinds for known in registry.names(kind)}
        hint = did_you_mean(name, known, "bench list")
        install = "; a plugin of your own is installed first: pip install -e ./FOLDER"
        raise BenchError(f"nothing to check is called {name!r}{hint}{registry.explanation() or install}")
    if len(matching) > 1:
        commands = ", or ".join(f"bench check {name} --role {kind[:-1]}" for kind in matching)
        raise BenchError(f"{name!r} is the name of several things: type {commands}")
    if matching == ["checkpoints"]:
        if values:
            raise BenchError(f"{name} is a checkpoint, whose card has its parameters: leave out -P")
        card: Card = registry.get("checkpoints", name).thing
        return card
    plugin: Plugin = registry.build(matching[0], name, values)
    return plugin


def checkable(registry: Registry, role: str | None = None) -> dict[str, list[str]]:
    """Names of all that can be checked, by role.

    Args:
        registry: Plugins by name.
        role: One role alone; None for all.

    Raises:
        BenchError: There is no such role.
    """
    if role is not None and role not in ROLES:
        raise BenchError(f"unknown role {role!r}{did_you_mean(role, ROLES)}")
    return {one: list(registry.names(f"{one}s")) for one in ROLES if role in (None, one)}


def _has(registry: Registry, kind: str, name: str) -> bool:
    """Whether the name is registered, or one of a member of a family that is."""
    family, colon, _ = name.partition(":")
    return any(known == name or (colon and known.startswith(f"{family}:<")) for known in registry.names(kind))


def check(
    thing: str | Plugin | Card | type[Plugin],
    *,
    registry: Registry,
    sdes: Sequence[str] = SDES,
    data: str | None = None,
    emit: Emit = silent,
    plot: bool = True,
    **parameters: object,
) -> Report:
    """Check a plugin against the rules of its role; takes seconds on a CPU.

    Args:
        thing: The plugin: its registered name, class, or an instance; or a checkpoint: name or card.
        registry: Plugins by name: the SDEs, exact checkpoints and built-in samplers that the checks use.
        sdes: Names of the SDEs that a sampler or grid is checked on.
        data: Name of the data that a checkpoint is held to; None for those of its card.
        emit: Receives an `Advance` after each check.
        plot: Whether the points of a sampler's plot are computed.
        parameters: Parameters of the plugin by name, for a name or a class.

    Returns:
        The report; an exception of the plugin is a failed check in it.

    Raises:
        BenchError: There is no such plugin, its role has no checks, or a task or metric works on no exact
            checkpoint, or a checkpoint's files or data are not here.
    """
    if isinstance(thing, str):
        plugin = find_plugin(thing, None, parameters, registry)
    else:
        plugin = thing.build(parameters) if isinstance(thing, type) else thing
    role = role_of(plugin)
    if data is not None and role != "checkpoint":
        raise BenchError(f"{plugin.name} is a {role}: data is what a checkpoint is held to")
    report = Report(role, plugin.name, plugin.values() if isinstance(plugin, Plugin) else {})
    for result in checks_of(plugin, registry, sdes, data=data, plot=plot):
        if isinstance(result, Point):
            report.points.append(result)
            continue
        result = dataclasses.replace(result, power=power_of(result.name))
        report.findings.append(result)
        emit(Advance(f"check {plugin.name}: {result.name}", len(report.findings), None, "checks"))
    return report


def checks_of(
    plugin: Plugin | Card,
    registry: Registry,
    sdes: Sequence[str] = SDES,
    *,
    data: str | None = None,
    plot: bool = False,
    seed: int = 0,
) -> Iterator[Finding | Point]:
    """The findings on a plugin, one by one, each computed when it is asked for.

    Args:
        plugin: The plugin, or a checkpoint's card.
        registry: Plugins by name.
        sdes: Names of the SDEs that a sampler or grid is checked on.
        data: Name of the data that a checkpoint is held to; None for those of its card.
        plot: Whether the points of a sampler's plot follow.
        seed: Seed of the noise that noisy samplers are judged on.
    """
    # a check's module is imported when a plugin of its role is checked: each brings its own libraries
    if isinstance(plugin, Fittable) and plugin.artifact is None:
        from bench.testing.fits import check_fit

        yield from check_fit(plugin, registry)
    elif isinstance(plugin, SamplerPart):
        yield from _of_sampler(plugin, CheckContext(registry, sdes, seed), plot=plot)
    elif isinstance(plugin, SDE):
        from bench.testing.sdes import check_sde

        yield from check_sde(plugin, CheckContext(registry))
    elif isinstance(plugin, Grid):
        from bench.testing.grids import check_grid

        # a grid knows no SDE by name: by default it is tried on all
        every = registry.names("sdes") if tuple(sdes) == SDES else sdes
        yield from check_grid(plugin, CheckContext(registry, every))
    elif isinstance(plugin, Metric):
        from bench.testing.metrics import check_metric

        yield from check_metric(plugin, CheckContext(registry))
    elif isinstance(plugin, Executor):
        from bench.testing.executors import check_executor

        yield from check_executor(plugin, CheckContext(registry))
    elif isinstance(plugin, Logger):
        from bench.testing.loggers import check_logger

        yield from check_logger(plugin, CheckContext(registry))
    elif isinstance(plugin, Task):
        from bench.testing.tasks import check_task_plugin

        yield from check_task_plugin(plugin, CheckContext(registry))
    elif isinstance(plugin, Dataset):
        from bench.testing.datasets import check_dataset

        yield from check_dataset(plugin)
    elif isinstance(plugin, Parametrisation):
        from bench.testing.parametrisations import check_parametrisation

        yield from check_parametrisation(plugin, CheckContext(registry))
    elif isinstance(plugin, Label):
        from bench.testing.labels import check_label

        yield from check_label(plugin, CheckContext(registry))
    elif isinstance(plugin, Reader):
        from bench.testing.readers import check_reader

        yield from check_reader(plugin)
    elif isinstance(plugin, Card):
        from bench.testing.checkpoints import check_checkpoint

        yield from check_checkpoint(plugin, registry, data)


def _of_sampler(part: Any, context: CheckContext, *, plot: bool) -> Iterator[Finding | Point]:
    from bench.testing.convergence import check_convergence
    from bench.testing.correctors import check_invariance
    from bench.testing.cost import memory, pace
    from bench.testing.duties import check_duties
    from bench.testing.promises import check_promises

    yield from check_duties(part, context)
    if isinstance(part, Corrector):
        yield from check_invariance(part, context)
    elif not getattr(part, "idle", False):
        yield from guard("convergence", lambda: check_convergence(part, context))
        yield from check_promises(part, context)
    yield from guard("memory", lambda: memory(part, context))
    yield from guard("own time", lambda: pace(part, context))
    if plot and not isinstance(part, Corrector) and not getattr(part, "idle", False):
        from bench.testing.curves import curves

        for sde in context.sdes:
            yield from guard(f"plot, {sde.name}", functools.partial(curves, part, sde, context))


def assert_conforms(
    thing: str | Plugin | Card | type[Plugin],
    *,
    sdes: Sequence[str] = SDES,
    data: str | None = None,
    registry: Registry | None = None,
    **parameters: object,
) -> None:
    """Assert in a test that a plugin follows the rules of its role, as ``bench check`` measures them.

    In a plugin's own tests::

        from bench import assert_conforms

        def test_it_conforms() -> None:
            assert_conforms(MyPredictor, order=3)

    Args:
        thing: The plugin: its registered name, class, or an instance; or a checkpoint: name or card.
        sdes: Names of the SDEs that a sampler or grid is checked on.
        data: Name of the data that a checkpoint is held to; None for those of its card.
        registry: Plugins by name; None for the installed ones.
        parameters: Parameters of the plugin by name, for a name or a class.

    Raises:
        AssertionError: A check failed; the message has a line for each failed check.
        BenchError: There is no such plugin, its role has no checks, or a task or metric works on no exact
            checkpoint.
    """
    report = check(
        thing,
        registry=registry or installed_registry(),
        sdes=sdes,
        data=data,
        emit=silent,
        plot=False,
        **parameters,
    )
    lines = [
        f"{finding.name}: {finding.measured} (required: {finding.required})" for finding in report.failures
    ]
    assert report.passed, f"{report.role} {report.name}:\n  " + "\n  ".join(lines)
