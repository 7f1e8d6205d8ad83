"""Short flags that plugins' parameters declare, and ``-P``."""

from __future__ import annotations

import click
from click.testing import CliRunner

from bench import Extractor, param
from bench.cli.context import CommandState
from bench.cli.flags import flag_command, flag_values
from bench.plugins.registry import Registry
from tests.support.plugins import empty_registry, hooks


class Flagged(Extractor):
    """An extractor with two flags."""

    name = "flagged"
    width = 1

    depth: int = param(default=1, help="a count", flag="depth")
    sharp: bool = param(default=False, help="a switch", flag="sharp")
    out: str = param(default="", help="a text", flag="out")
    plain: int = param(default=1, help="a count without a flag")

    def load(self, device: object) -> object:  # type: ignore[override]
        raise NotImplementedError


def registry() -> Registry:
    """A registry of `Flagged` alone."""
    registry = empty_registry()
    registry.load(hooks("extractors", Flagged), "test", "1")
    assert not registry.problems
    return registry


@click.command("make", cls=flag_command("extractor"))
@click.option("--out", help="Own option.")
@click.pass_context
def make_command(context: click.Context, out: str | None) -> None:
    """Print the flags."""
    click.echo(f"{sorted(flag_values(context).items())} {out}")


@click.command("other", cls=flag_command("metric"))
def other_command() -> None:
    """Takes flags of metrics alone."""


def run(command: click.Command, *words: str) -> tuple[int, str]:
    """Exit status and output of a command."""
    result = CliRunner().invoke(command, list(words), obj=CommandState(registry()))
    return result.exit_code, result.output


def test_flags_are_values_of_parameters() -> None:
    assert run(make_command, "--depth", "3", "--sharp") == (
        0,
        "[('extractor.depth', '3'), ('extractor.sharp', True)] None\n",
    )
    assert run(make_command) == (0, "[] None\n")


def test_a_commands_own_option_comes_first() -> None:
    assert run(make_command, "--out", "here") == (0, "[] here\n")


def test_help_tells_what_a_flag_is_short_for() -> None:
    status, text = run(make_command, "--help")
    assert status == 0
    assert "--depth VALUE" in text
    assert "Short for -P extractor.depth=VALUE." in text
    assert "A switch. Short for -P extractor.sharp=true." in " ".join(text.split())
    assert "plain" not in text


def test_flags_of_other_roles_are_unknown() -> None:
    status, text = run(other_command, "--depth", "3")
    assert status == 2
    assert "No such option" in text
