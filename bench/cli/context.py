"""State that the command line passes to its commands."""

from __future__ import annotations

import dataclasses

import click

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
