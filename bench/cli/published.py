"""``bench published``: the figures that papers and repositories report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.console import console, echo, echo_json
from bench.cli.paths import NamedPath
from bench.errors import BenchError, printable

if TYPE_CHECKING:
    from bench.reporting.published_figures import PublishedFigure


def _calls(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """``10`` or ``5..10``: the least and the greatest number."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})(?:\.\.([0-9]{1,9}))?", value)
    if match is None or int(match[1]) > int(match[2] or match[1]):
        raise click.BadParameter(
            f"{printable(value, 40)!r} is no number such as 10 or 5..10", context, parameter
        )
    return int(match[1]), int(match[2] or match[1])


@click.command("published", short_help="List, sort and plot published figures.")
@click.option(
    "--checkpoint", metavar="NAME", help="Figures of one checkpoint, or network in a source's words."
)
@click.option(
    "--sampler", metavar="NAME", help="Figures of a sampler: its name, or a part of the source's words."
)
@click.option("--nfe", metavar="N|A..B", callback=_calls, help="Figures of so many network calls per sample.")
@click.option("--metric", metavar="NAME", help="Figures of a metric, such as fid or fid-edm.")
@click.option(
    "--sort",
    type=click.Choice(["checkpoint", "nfe", "value", "year"]),
    default="checkpoint",
    show_default=True,
    help="What the lines are sorted by.",
)
@click.option(
    "--plot", type=NamedPath(), metavar="FILE", help="Draw them against network calls: FILE.png or .svg."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as plain JSON.")
def published_command(
    checkpoint: str | None,
    sampler: str | None,
    nfe: tuple[int, int] | None,
    metric: str | None,
    sort: str,
    plot: Path | None,
    as_json: bool,
) -> None:
    """List, sort and plot published figures: what each is of, and where it was read.

    Sources may disagree: all are listed. A figure stands beside a run in tables and plots where checkpoint,
    data set, metric, sampler, grid, network calls and guidance are the run's; what its source does not state
    is empty here, and such a figure stands beside no run.
    """
    from bench.reporting.published_figures import published
    from bench.reporting.published_lists import figures_layout, sorted_by
    from bench.reporting.terminal import print_layout

    figures = sorted_by(sort, published(checkpoint=checkpoint, sampler=sampler, nfe=nfe, metric=metric))
    if plot is not None:
        _draw(figures, plot)
    if as_json:
        echo_json({"figures": [figure.plain() for figure in figures]})
        return
    print_layout(figures_layout(figures), console())
    echo(f"{len(figures)} published {'figure' if len(figures) == 1 else 'figures'}")
    if plot is not None:
        echo(f"drawn to {plot}")


def _draw(figures: list[PublishedFigure], path: Path) -> None:
    """Write the picture of the figures, of the kind that the file's name ends with."""
    from bench.files import replace_file, user_path
    from bench.reporting.figure_layout import images
    from bench.reporting.published_lists import figures_plot

    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in ("png", "svg"):
        raise BenchError(f"--plot {path}: its name must end in .png or .svg")
    picture = dict(images(figures_plot(figures)))[suffix]
    try:
        replace_file(user_path(path), picture)
    except OSError as error:
        raise BenchError(f"{path} can't be written ({error.strerror}): choose another --plot") from error
