"""State that the command line passes to its commands."""

from __future__ import annotations

import dataclasses

import click

from bench.cli.console import echo
from bench.plugins.registry import Registry


@dataclasses.dataclass
class CommandState:
    """State of one command line: the registry, made when a command first needs it."""

    registry: Registry | None = None


def registry_of(context: click.Context) -> Registry:
    """The registry that `main` received, or else the installed one."""
    state = context.ensure_object(CommandState)
    if state.registry is None:
        from bench.plan.installed import installed_registry

        state.registry = installed_registry()
    return state.registry


def registry_with_problems(context: click.Context) -> Registry:
    """`registry_of`, after a line on standard error for each plugin that was skipped."""
    registry = registry_of(context)
    for problem in registry.problems:
        echo(f"bench: {problem.message}", err=True)
    registry.explains = False
    return registry
