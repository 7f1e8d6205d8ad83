"""``bench new``: a plugin's package, ready to be installed."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.console import echo
from bench.cli.context import registry_of
from bench.errors import BenchError, did_you_mean, printable
from bench.testing import scaffold


@click.command("new", short_help="Write a package with a plugin, as a start for yours.")
@click.argument("role", metavar="|".join(scaffold.ROLES))
@click.argument("name")
@click.pass_context
def new_command(context: click.Context, role: str, name: str) -> None:
    """Write a package with a working plugin of that role into the new folder NAME, as a start for yours.

    fitted: a time grid that bench fit fits to a checkpoint.

    \b
    bench new predictor my-sampler
    pip install -e ./my-sampler
    bench check my_sampler
    """
    if role not in scaffold.ROLES:
        raise BenchError(f"unknown role {printable(role)!r}{did_you_mean(role, scaffold.ROLES)}")
    files = scaffold.create(role, name, Path(), registry_of(context))
    for path in files:
        echo(f"  {path}")
    module = scaffold.module_name(name)
    echo("")
    what = "fitted grid" if role == "fitted" else role
    echo(f"The {what} is in {files[1]}, a working example to start from. Next:")
    echo("")
    runs = scaffold.first_runs(role, name)
    for command in (f"pip install -e ./{name}", f"bench check {module}", *runs):
        echo(f"  {command}")
