"""Parameters of plugins on the command line: ``-P ROLE.NAME=VALUE``, and short flags of plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from bench.cli.context import registry_of
from bench.errors import BenchError


class FlagCommand(click.Command):
    """A command with an option for each short flag that a plugin's parameter declares.

    Args:
        roles: Roles whose flags the command takes. Their values reach the function as ``short``, by
            ``ROLE.PARAMETER``.
    """

    def __init__(self, *arguments: Any, roles: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.roles = tuple(roles)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters and the flags of the registered plugins."""
        own = super().get_params(ctx)
        names = {option for parameter in own for option in parameter.opts}
        flags = [flag for flag in registry_of(ctx).flags() if flag.role in self.roles]
        extra: list[click.Parameter] = []
        for flag in flags:
            if f"--{flag.name}" in names:
                continue
            parameter = flag.parameter
            switch: dict[str, Any] = (
                {"is_flag": True, "flag_value": "true", "default": None}
                if parameter.type == "bool"
                else {"metavar": parameter.name.upper()}
            )
            extra.append(
                click.Option(
                    [f"--{flag.name}", f"short:{flag.target}".replace(".", "_").replace(":", "_")],
                    help=f"Short for -P {flag.target}: {parameter.help}.",
                    type=str,
                    **switch,
                )
            )
        return [*own[:-1], *extra, own[-1]]

    def invoke(self, ctx: click.Context) -> Any:
        """Collect the flags' values into the argument ``short``."""
        short: dict[str, object] = {}
        for flag in registry_of(ctx).flags():
            value = ctx.params.pop(f"short_{flag.target}".replace(".", "_"), None)
            if value is not None:
                short[flag.target] = value
        ctx.params["short"] = short
        return super().invoke(ctx)


def plugin_parameters(texts: Sequence[str], short: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Values of ``-P`` and of short flags, by role and name.

    Raises:
        BenchError: A text is not ``ROLE.NAME=VALUE``, or a parameter is given twice.
    """
    pairs: list[tuple[str, object]] = [(key, value) for key, value in short.items() if value is not None]
    for text in texts:
        name, equals, word = text.partition("=")
        if not equals or name.count(".") != 1:
            raise BenchError(f"-P takes ROLE.NAME=VALUE, not {text!r} (such as corrector.snr=0.16)")
        pairs.append((name, word))
    values: dict[str, dict[str, object]] = {}
    for key, value in pairs:
        role, _, name = key.partition(".")
        if name in values.setdefault(role, {}):
            raise BenchError(f"{key} was given twice")
        values[role][name] = value
    return values


def metric_parameters(texts: Sequence[str], short: Mapping[str, object]) -> dict[str, object]:
    """As `plugin_parameters`, for a command that takes parameters of metrics alone."""
    values = plugin_parameters(texts, short)
    for role in values:
        if role != "metric":
            raise BenchError(f"-P takes metric.NAME=VALUE here, not a parameter of a {role}")
    return values.get("metric", {})
