"""``bench measure``: more metrics of samples on disk. Nothing is sampled."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli import collector
from bench.cli.console import console
from bench.cli.context import registry_with_problems
from bench.cli.flags import flag_command, flag_values
from bench.cli.parameters import metric_parameters
from bench.cli.paths import NamedPath
from bench.cli.stopping import STOPPED, report_stop


@click.command(
    "measure",
    short_help="Add metrics to finished runs, from their samples on disk.",
    cls=flag_command("metric"),
)
@click.option("--metric", multiple=True, required=True, metavar="NAME", help="Metric to add; repeats.")
@click.option("--suite", metavar="NAME", help="Measure the runs of this suite only.")
@click.option("--checkpoint", metavar="NAME", help="Measure the runs of this checkpoint only.")
@click.option("-P", "parameters", multiple=True, metavar="metric.NAME=VALUE", help="Parameter of a metric.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--out", type=NamedPath(), help="Results folder.")
@click.pass_context
def measure_command(
    context: click.Context,
    /,
    metric: tuple[str, ...],
    suite: str | None,
    checkpoint: str | None,
    parameters: tuple[str, ...],
    device: str | None,
    out: Path | None,
) -> int:
    """Add metrics to finished runs, from their samples on disk. Nothing is sampled.

    A record that has the metric, with the same parameters and reference data, stays as it is. Exit status: 0
    done, 1 a metric failed, 2 a mistake in the command, 130 stopped (143 by SIGTERM, 129 by SIGHUP).
    """
    from bench.api.measuring import remeasure
    from bench.engine.remeasuring import count_outcomes
    from bench.reporting.progress import Display
    from bench.reporting.summary import metric_notes
    from bench.reporting.terminal import print_line
    from bench.reporting.text import count

    registry = registry_with_problems(context)
    values = metric_parameters(parameters, flag_values(context))
    names = list(dict.fromkeys(metric))
    screen = console()
    display = Display(screen)
    collector.resume()
    try:
        with display:
            measurements = remeasure(
                names,
                suite=suite,
                checkpoint=checkpoint,
                parameters=values,
                device=device,
                out=out,
                registry=registry,
                emit=display,
            )
    except KeyboardInterrupt:
        records = count(display.measured, "record")
        remains = f"new values of {records} are on disk: run the same command again to go on"
        report_stop(f"; {remains if display.measured else 'nothing was measured'}")
        return STOPPED
    for line in dict.fromkeys(note for one in measurements for note in metric_notes(one.metrics)):
        print_line(line, screen)
    counts = count_outcomes(measurements)
    unfit = f", {counts['unfit']} of tasks or samplers without such a value" if counts["unfit"] else ""
    print_line(
        f"{counts['measured']} measured, {counts['complete']} had it already, "
        f"{counts['no samples']} without samples on disk, {counts['failed']} failed{unfit}",
        screen,
    )
    if counts["no samples"]:
        flags = " ".join(f"--metric {name}" for name in names)
        print_line(
            f"  to sample those again: the command that made them with {flags}, without --prune", screen
        )
    return int(counts["failed"] > 0)
