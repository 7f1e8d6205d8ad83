"""The registry that commands get."""

from __future__ import annotations

import click
import pytest

from bench.cli.context import CommandState, registry_of, registry_with_problems
from bench.errors import BenchError
from bench.plugins.registry import Problem, Registry
from tests.support.plugins import empty_registry


def context(state: CommandState | None) -> click.Context:
    """The context of a command below a group, as of a call of `main`."""
    return click.Context(click.Command("list"), parent=click.Context(click.Group("bench"), obj=state))


def test_commands_get_the_registry_that_main_was_given() -> None:
    registry = empty_registry()
    assert registry_of(context(CommandState(registry))) is registry


def test_without_one_it_is_that_of_what_is_installed_and_made_once() -> None:
    inner = context(CommandState())
    registry = registry_of(inner)
    assert isinstance(registry, Registry)
    assert "ddim" in registry.names("predictors")
    assert registry_of(inner) is registry


def test_a_command_called_without_main_gets_one_too() -> None:
    assert "ddim" in registry_of(click.Context(click.Command("list"))).names("predictors")


def test_a_plugin_that_was_skipped_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    registry = empty_registry()
    registry.problems.append(Problem("plugin", "mine", "mine was skipped: ImportError"))
    with pytest.raises(BenchError, match="mine was skipped"):
        registry.get("sdes", "nope")
    assert registry_with_problems(context(CommandState(registry))) is registry
    assert capsys.readouterr().err == "bench: mine was skipped: ImportError\n"
    for one in (registry, registry.copy()):
        with pytest.raises(BenchError, match="unknown sde 'nope'") as refusal:
            one.get("sdes", "nope")
        assert "skipped" not in str(refusal.value)
