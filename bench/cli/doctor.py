"""``bench doctor``: what works here, what is missing, and what to do."""

from __future__ import annotations

import click

from bench.cli.console import console, echo, echo_json
from bench.cli.context import registry_of


@click.command("doctor", short_help="Say what works here, what is missing, and what to do.")
@click.option("--json", "as_json", is_flag=True, help="Print the conditions as JSON.")
@click.pass_context
def doctor_command(context: click.Context, as_json: bool) -> int:
    """Say what of this installation works, what is missing, and what to do.

    Versions, devices, caches, plugins, files such as Inception's weights, and which `bench` this is: other
    packages have a command of that name. Nothing is fetched or changed.

    Exit status: 0 nothing is broken, 1 something is (what is only absent does not count), 130 stopped.
    """
    from rich.markup import escape
    from rich.table import Table

    from bench.errors import printable
    from bench.reporting.diagnosis import diagnose
    from bench.reporting.text import count

    diagnosis = diagnose(registry_of(context))
    if as_json:
        echo_json(diagnosis.plain())
        return 0 if diagnosis.works else 1
    marks = {"ok": "[green]ok[/]", "absent": "[yellow]–[/]", "broken": "[red]BROKEN[/]"}
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for section, conditions in diagnosis.sections.items():
        if conditions:
            table.add_row(f"[bold]{section}[/]")
        for one in conditions:
            detail = escape(printable(one.detail, None))
            if one.remedy:
                detail += f"\n[dim]→ {escape(printable(one.remedy, None))}[/]"
            table.add_row(f"  {escape(one.subject)}", marks[one.state], detail)
    console().print(table)
    every = [one for part in diagnosis.sections.values() for one in part]
    broken = sum(one.state == "broken" for one in every)
    absent = sum(one.state == "absent" for one in every)
    echo(f"{count(broken, 'thing')} broken, {absent} absent")
    return 0 if diagnosis.works else 1
