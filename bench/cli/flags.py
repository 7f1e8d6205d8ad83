"""Parameters of plugins on the command line: ``-P``, and the short flags that they declare."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click

from bench.cli.context import registry_of
from bench.errors import BenchError
from bench.plugins.registry import Flag

_VALUES = "bench.plugin_flags"


class FlagCommand(click.Command):
    """A command with an option for every short flag that parameters of its ``roles`` declare.

    The values are those of `flag_values`, not arguments of the command's function.
    """

    roles: Collection[str] = ()

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, and the plugins' flags, whose names must not be taken."""
        own = super().get_params(ctx)
        taken = {option for parameter in own for option in parameter.opts}
        flags = [flag for flag in registry_of(ctx).flags() if flag.role in self.roles]
        return [*own, *(_option(flag) for flag in flags if f"--{flag.name}" not in taken)]


def flag_command(*roles: str) -> type[FlagCommand]:
    """The class of a command with these roles' flags: ``@click.command(cls=flag_command("metric"))``."""
    return type("FlagCommand", (FlagCommand,), {"roles": roles})


def flag_values(context: click.Context) -> dict[str, Any]:
    """Values of the flags that were given, by ``ROLE.PARAMETER``."""
    return dict(context.meta.get(_VALUES, {}))


def _option(flag: Flag) -> click.Option:
    def store(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            context.meta.setdefault(_VALUES, {})[flag.target] = value

    switch = flag.parameter.type == "bool"
    return click.Option(
        [f"--{flag.name}"],
        is_flag=switch,
        default=None,
        metavar=None if switch else "VALUE",
        help=f"Short for -P {flag.target}={'true' if switch else 'VALUE'}.",
        expose_value=False,
        callback=store,
    )


def plugin_parameters(texts: Sequence[str], short: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Parameter values by role and name.

    Args:
        texts: ``ROLE.NAME=VALUE``, as ``-P`` takes them.
        short: Values of short flags by ``ROLE.NAME``; None: not given.

    Raises:
        BenchError: A text has another form, or a parameter is given twice.
    """
    pairs = [(key, value) for key, value in short.items() if value is not None]
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key.count(".") != 1:
            raise BenchError(f"-P takes ROLE.NAME=VALUE, not {text!r} (say corrector.snr=0.16)")
        pairs.append((key, value))
    values: dict[str, dict[str, Any]] = {}
    for key, value in pairs:
        role, _, name = key.partition(".")
        if name in values.setdefault(role, {}):
            raise BenchError(f"{key} was given twice")
        values[role][name] = value
    return values
