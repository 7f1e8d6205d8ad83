"""``bench check``: a plugin held to what its role promises."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.errors import BenchError, printable
from bench.plugins.registry import registry

if TYPE_CHECKING:
    from bench.testing import Finding, Report

MARKS = {"pass": "[green]pass[/]", "fail": "[bold red]FAIL[/]", "info": "[dim]info[/]"}


@click.command("check")
@click.argument("name")
@click.option("--role", help="Which of several things of that NAME: predictor, corrector, solver, …")
@click.option("--parameter", "-P", multiple=True, metavar="NAME=VALUE", help="A parameter of the plugin.")
@click.option("--sde", multiple=True, help="SDE to check a sampler on; repeats. Default: ve, vp and subvp.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("results/checks"), show_default=True,
    help="Folder for the plot and its CSV.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
def check_command(
    name: str, role: str | None, parameter: tuple[str, ...], sde: tuple[str, ...], out: Path, as_json: bool
) -> int:
    """Check NAME (predictor, corrector, solver, SDE, metric, executor, task) against what its role promises.

    Samplers run on data whose truth is known, seconds on a CPU: shapes, randomness, declared network calls,
    convergence and its order, cost. Exit status: 0 all passed, 1 a check failed, 2 a mistake in the command,
    130 stopped.
    """
    from bench.testing import SDES, check, look_up

    found = registry()
    for one in sde:
        found.get("sdes", one)
    plugin = look_up(name, role, _parameters(parameter), found)
    with _said(name) as say:
        report = check(plugin, sdes=sde or SDES, on_finding=lambda finding: say(finding.name))
    files = []
    if report.points:
        from bench.testing import plot as check_plot

        files = check_plot.write(report.points, report.name, out)
    if as_json:
        plain = report.plain() | {"parameters": plugin.values(), "files": [str(path) for path in files]}
        click.echo(json.dumps(_finite(plain), indent=1, allow_nan=False))
    else:
        _show(report, plugin.values())
        for path in files:
            click.echo(f"  {path}")
    return 0 if report.passed else 1


def _parameters(texts: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE``, or ``ROLE.NAME=VALUE`` as `bench run` takes it."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key.count(".") > 1:
            raise BenchError(f"-P takes NAME=VALUE, not {text!r}")
        found[key.rpartition(".")[2]] = value
    return found


@contextlib.contextmanager
def _said(name: str) -> Iterator[Callable[[str], None]]:
    """Progress, on a terminal's stderr alone."""
    from rich.console import Console

    err = Console(stderr=True, highlight=False)
    if not err.is_terminal:
        yield lambda _: None
        return
    with err.status(f"checking {name}") as status:
        yield lambda done: status.update(f"checking {name}: {done} done")


def _finite(plain: Any) -> Any:
    """Numbers that JSON has none for as null."""
    if isinstance(plain, dict):
        return {key: _finite(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_finite(value) for value in plain]
    return None if isinstance(plain, float) and not abs(plain) < float("inf") else plain


def _show(report: Report, values: dict[str, Any]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.cli.console import console, count

    out = console()
    settings = ", ".join(f"{k}={v}" for k, v in values.items())
    title = f"{report.role} {report.name}" + (f" ({settings})" if settings else "")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=escape(printable(title)), title_justify="left")
    for column in ("check", "", "measured", "required"):
        table.add_column(column, overflow="fold")
    for one in report.findings:
        table.add_row(escape(one.name), MARKS[one.status], *_texts(one))
    out.print(table)
    passed = sum(one.status == "pass" for one in report.findings)
    out.print(f"{count(passed, 'check')} passed, {len(report.failures)} failed")


def _texts(finding: Finding) -> list[str]:
    from rich.markup import escape

    return [escape(printable(text, 600)) for text in (finding.measured, finding.required)]
