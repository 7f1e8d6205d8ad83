"""Short flags that plugins' parameters declare, as options of a command."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import click

from bench.cli.context import registry_of
from bench.errors import BenchError
from bench.plugins.registry import Flag

_VALUES = "bench.plugin_flags"


class FlagCommand(click.Command):
    """A command with an option for every short flag that parameters of its ``roles`` declare.

    `flag_values` gives their values; they are not arguments of the command's function.
    """

    roles: Collection[str] = ()

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, and the plugins' flags; its own options come first."""
        own = super().get_params(ctx)
        own_options = {option for parameter in own for option in parameter.opts}
        try:
            flags = [flag for flag in registry_of(ctx).flags() if flag.role in self.roles]
        except BenchError:
            if not ctx.resilient_parsing:  # the shell completes a word: no place for a message
                raise
            return own
        return [*own, *(_option(flag) for flag in flags if f"--{flag.name}" not in own_options)]


def flag_command(*roles: str) -> type[FlagCommand]:
    """The class of a command with the flags of these roles: ``@command(cls=flag_command("metric"))``."""
    return type("FlagCommand", (FlagCommand,), {"roles": roles})


def flag_values(context: click.Context) -> dict[str, object]:
    """Values of the flags on the command line, by ``ROLE.PARAMETER``."""
    return dict(context.meta.get(_VALUES, {}))


def _option(flag: Flag) -> click.Option:
    def store(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            context.meta.setdefault(_VALUES, {})[flag.target] = value

    switch = flag.parameter.type == "bool"
    short_for = f"Short for -P {flag.target}={'true' if switch else 'VALUE'}."
    meaning = flag.parameter.help
    return click.Option(
        [f"--{flag.name}"],
        is_flag=switch,
        default=None,
        metavar=None if switch else "VALUE",
        help=f"{meaning[0].upper()}{meaning[1:]}. {short_for}" if meaning else short_for,
        expose_value=False,
        callback=store,
    )
