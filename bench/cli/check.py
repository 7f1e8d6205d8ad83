"""``bench check``: checks a plugin or a checkpoint against the rules of its role."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import collector
from bench.cli.console import console, echo, echo_json
from bench.cli.context import registry_of
from bench.cli.paths import NamedPath
from bench.errors import BenchError, printable

if TYPE_CHECKING:
    from bench.testing.report import Report

MARKS = {"pass": "[green]pass[/]", "fail": "[bold red]FAIL[/]", "info": "[dim]info[/]"}


@click.command("check", short_help="Check a plugin or a checkpoint by its role.")
@click.argument("name", required=False)
@click.option(
    "--role",
    help="The role, where several have the NAME, such as dataset and checkpoint. "
    "Without a NAME: list what can be checked of this role alone.",
)
@click.option("--parameter", "-P", multiple=True, metavar="NAME=VALUE", help="A parameter of the plugin.")
@click.option(
    "--sde", multiple=True, help="SDE to check a sampler or grid on; repeats. Default: ve, vp, subvp."
)
@click.option(
    "--data",
    metavar="SOURCE",
    help="Data that a checkpoint is held to, as bench fid takes them. Default: those of its card.",
)
@click.option(
    "--out", type=NamedPath(), default=Path("results/checks"), show_default=True,
    help="Folder for the plot and its CSV.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@click.pass_context
def check_command(
    context: click.Context,
    name: str | None,
    role: str | None,
    parameter: tuple[str, ...],
    sde: tuple[str, ...],
    data: str | None,
    out: Path,
    as_json: bool,
) -> int:
    """Check NAME (of a plugin or a checkpoint) by its role; without a NAME, list what can be checked.

    \b
    predictor, corrector, solver  on data whose truth is known: shapes, randomness, network
                                  calls, convergence and its order, cost
    sde         its functions agree with each other
    grid        times from T to eps on every SDE, dense as steps grow, the same each time
    what is fitted, without its artifact: a fit gives the same artifact each time, and a run takes it
    metric      one value whatever the batches, right at equal distributions, worse where
                samples are worse, bounded memory
    task        declared outputs, rows and metrics, one result of one seed
    executor    every batch once with its own outcome, here and in other processes
    logger      takes every kind of record, changes no file of bench, and writes a record once
    dataset     declared shape, range and number of items, the same at each reading
    parametrisation, label        exact on data whose truth is known, in the limits too
    reader      reads what it writes, refuses what is damaged, runs nothing of a file
    checkpoint  its card's convention held to data: denoising error by noise level

    It takes seconds on a CPU, for a large network minutes. Exit status: 0 all passed, 1 a check failed, 2 a
    mistake in the command, 130 stopped (143 by SIGTERM, 129 by SIGHUP).
    """
    from bench.api.running import check
    from bench.reporting.progress import Display
    from bench.testing import SDES

    if name is None:
        return _list(context, role, as_json=as_json)
    values = _parameters(parameter)
    _check_folder(out)
    collector.resume()
    with Display(console(stderr=True)) as display:
        report = check(
            name,
            role=role,
            sdes=sde or SDES,
            data=data,
            registry=registry_of(context),
            emit=display,
            **values,
        )
    files = []
    if report.points:
        from bench.testing.plot import write_plot

        files = [str(path) for path in write_plot(report, out)]
    if as_json:
        echo_json(report.plain() | {"files": list(files)})
    else:
        _print(report)
        for file in files:
            echo(f"  {file}")
    return 0 if report.passed else 1


def _list(context: click.Context, role: str | None, *, as_json: bool) -> int:
    """List what can be checked, by role."""
    from bench.testing.kit import checkable

    names = checkable(registry_of(context), role)
    if as_json:
        echo_json({"roles": {role: list(known) for role, known in names.items()}})
        return 0
    for role_name, known in names.items():
        echo(f"{role_name}: {', '.join(known)}")
    echo("bench check NAME checks one of them")
    return 0


def _check_folder(out: Path) -> None:
    """`BenchError` where the plot can't be written, before anything is checked."""
    folder = next(place for place in (out.absolute(), *out.absolute().parents) if place.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BenchError(f"{out} can't be written: {folder} takes no files; choose another folder by --out")


def _parameters(texts: tuple[str, ...]) -> dict[str, str]:
    """Values by name, of ``NAME=VALUE`` or, as ``bench run`` takes it, ``ROLE.NAME=VALUE``."""
    values: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key.count(".") > 1:
            raise BenchError(f"-P takes NAME=VALUE, not {text!r}")
        values[key.rpartition(".")[2]] = value
    return values


def _print(report: Report) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.reporting.text import count

    out = console()
    settings = ", ".join(f"{k}={v}" for k, v in report.parameters.items())
    title = f"{report.role} {report.name}" + (f" ({settings})" if settings else "")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=escape(printable(title)), title_justify="left")
    for column in ("check", "", "measured", "required"):
        table.add_column(column, overflow="fold")
    for finding in report.findings:
        texts = [escape(printable(text, 600)) for text in (finding.measured, finding.required)]
        table.add_row(escape(printable(finding.name, None)), MARKS[finding.status], *texts)
    out.print(table)
    passed = sum(finding.status == "pass" for finding in report.findings)
    out.print(f"{count(passed, 'check')} passed, {len(report.failures)} failed")
