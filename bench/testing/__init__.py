"""The conformance kit: a plugin held to what its role promises, on data whose truth is known.

In a plugin's own tests:

    from bench.testing import assert_conforms

    def test_mine():
        assert_conforms(MyPredictor)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.diffusion.roles import Corrector, Predictor, SamplerPart, Solver
from bench.diffusion.sde import SDE
from bench.engine.executor import Executor
from bench.errors import BenchError, did_you_mean
from bench.metrics.role import Metric
from bench.params import Plugin
from bench.plugins.registry import Registry, registry
from bench.tasks.role import Task
from bench.testing.report import Finding, Point, Report

__all__ = ["SDES", "Finding", "Point", "Report", "assert_conforms", "check", "look_up", "role_of"]

ROLES = ("predictor", "corrector", "solver", "sde", "metric", "executor", "task")
SDES = ("ve", "vp", "subvp")
"""The SDEs that samplers are checked on unless told."""

_BASES: dict[str, type] = {
    "predictor": Predictor,
    "corrector": Corrector,
    "solver": Solver,
    "sde": SDE,
    "metric": Metric,
    "executor": Executor,
    "task": Task,
}


def role_of(plugin: Plugin) -> str:
    """The role that a plugin plays."""
    for role, base in _BASES.items():
        if isinstance(plugin, base):
            return role
    raise BenchError(f"{plugin!r} is none of {', '.join(ROLES)}: there is nothing to check")


def look_up(name: str, role: str | None, given: dict[str, Any], found: Registry) -> Plugin:
    """The registered plugin of that name, built; `BenchError` where the name is none's or several roles'."""
    if role is not None and role not in ROLES:
        raise BenchError(f"unknown role {role!r}{did_you_mean(role, ROLES)}")
    kinds = [f"{one}s" for one in ([role] if role else ROLES)]
    family = name.partition(":")[0] + ":<"
    having = [k for k in kinds if name in found.names(k) or any(n.startswith(family) for n in found.names(k))]
    if not having:
        if role is not None:
            found.get(kinds[0], name)  # says what there is
        known = {n for kind in kinds for n in found.names(kind)}
        hint = did_you_mean(name, known, "bench list")
        broken = "".join(f"; {problem.message}" for problem in found.problems)
        raise BenchError(f"nothing to check is called {name!r}{hint}{broken}")
    if len(having) > 1:
        options = " or ".join(f"--role {kind[:-1]}" for kind in having)
        raise BenchError(f"{name!r} is the name of several things: give {options}")
    plugin: Plugin = found.build(having[0], name, given)
    return plugin


def check(
    thing: str | Plugin | type[Plugin],
    *,
    sdes: Sequence[str] = SDES,
    on_finding: Callable[[Finding], None] | None = None,
    **parameters: Any,
) -> Report:
    """Hold a plugin (its registered name, its class, or one with its parameters) to its role.

    Seconds on a CPU. ``on_finding`` is told of each finding as it is made. Exceptions of the plugin are
    findings; `BenchError` where there is no such thing.
    """
    if isinstance(thing, str):
        plugin = look_up(thing, None, parameters, registry())
    else:
        plugin = thing.build(parameters) if isinstance(thing, type) else thing
    report = Report(role_of(plugin), plugin.name)
    for one in _found(plugin, sdes):
        if isinstance(one, Point):
            report.points.append(one)
            continue
        report.findings.append(one)
        if on_finding is not None:
            on_finding(one)
    return report


def _found(plugin: Plugin, sdes: Sequence[str]) -> Iterator[Finding | Point]:
    if isinstance(plugin, SamplerPart):
        yield from _of_sampler(plugin, [registry().build("sdes", name, {}) for name in sdes])
    elif isinstance(plugin, SDE):
        from bench.testing.sdes import sdes as checks

        yield from checks(plugin)
    elif isinstance(plugin, Metric):
        from bench.testing.metrics import metrics

        yield from metrics(plugin)
    elif isinstance(plugin, Executor):
        from bench.testing.executors import executors

        yield from executors(plugin)
    elif isinstance(plugin, Task):
        from bench.testing.tasks import tasks

        yield from tasks(plugin)


def _of_sampler(part: Any, sdes: Sequence[SDE]) -> Iterator[Finding | Point]:
    from bench.testing.convergence import convergence
    from bench.testing.correctors import correctors
    from bench.testing.cost import memory, pace
    from bench.testing.duties import duties
    from bench.testing.report import guarded

    yield from duties(part, sdes)
    if isinstance(part, Corrector):
        yield from correctors(part, sdes)
    elif not getattr(part, "idle", False):
        yield from guarded_points(part, sdes, convergence)
    yield from guarded("memory", lambda: memory(part, sdes[0]))
    yield from guarded("own time", lambda: pace(part, sdes[0]))


def guarded_points(part: Any, sdes: Sequence[SDE], checks: Any) -> Iterator[Finding | Point]:
    """As `bench.testing.report.guarded`, of checks that yield points too."""
    try:
        yield from checks(part, sdes)
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        yield Finding("convergence", "fail", said, "no error")


def assert_conforms(
    thing: str | Plugin | type[Plugin], *, sdes: Sequence[str] = SDES, **parameters: Any
) -> None:
    """`check`, for a test: AssertionError with a line for each failure."""
    report = check(thing, sdes=sdes, **parameters)
    lines = [f"{one.name}: {one.measured} (required: {one.required})" for one in report.failures]
    assert report.passed, f"{report.role} {report.name}:\n  " + "\n  ".join(lines)
