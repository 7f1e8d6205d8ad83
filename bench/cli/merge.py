"""``bench merge``: several results folders joined into one."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.console import console, echo, echo_json
from bench.cli.paths import NamedPath
from bench.cli.stopping import STOPPED, report_stop


@click.command("merge", short_help="Join results folders.")
@click.argument("folders", nargs=-1, required=True, type=NamedPath(), metavar="FOLDER...")
@click.option("-o", "target", required=True, type=NamedPath(), help="The results folder to join them in.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def merge_command(folders: tuple[Path, ...], target: Path, as_json: bool) -> int:
    """Join results folders, such as those of machines without a shared disk.

    Records, samples, logs, pictures and planned suites are copied; what the target has stays. Of one run in
    several folders a finished record comes before a failed one, and metrics are joined.

    \b
    bench merge machine-a/results machine-b/results -o results
    bench table table1 --out results

    Exit status: 0 done, 2 a mistake in the command, 130 stopped (143 by SIGTERM, 129 by SIGHUP).
    """
    from bench.api.reporting import merge
    from bench.reporting.progress import Display
    from bench.reporting.text import count

    try:
        with Display(console(stderr=True)) as display:
            result = merge(*folders, out=target, emit=display)
    except KeyboardInterrupt:
        report_stop("; the same command goes on")
        return STOPPED
    if as_json:
        echo_json({"folder": str(result.folder), "records": result.records, "batches": result.batches})
    else:
        records, batches = count(result.records, "new record"), count(result.batches, "new file")
        echo(f"{result.folder}: {records}, {batches} of samples")
    return 0
