"""``bench stats``: make and show reference statistics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import collector
from bench.cli.console import console, echo, echo_json
from bench.cli.context import registry_of
from bench.cli.flags import flag_command, flag_values
from bench.cli.parameters import plugin_parameters
from bench.cli.paths import NamedPath
from bench.cli.stopping import STOPPED, report_stop
from bench.errors import BenchError
from bench.events import Notice
from bench.files import user_path

if TYPE_CHECKING:
    from bench.metrics.features import Rounding


@click.group("stats", short_help="Make reference statistics, or show them.")
def stats_command() -> None:
    """Reference statistics: make them of any images, show what a file holds.

    \b
    bench stats build cifar10-train
    bench stats build FOLDER -o mine.npz --extractor cifar10-features
    bench stats show mine.npz
    """


@stats_command.command(
    "build", short_help="Make the statistics of a data set, folder or file.", cls=flag_command("extractor")
)
@click.argument("source")
@click.option(
    "-o",
    "output",
    type=NamedPath(),
    metavar="FILE.npz",
    help="Output file; default for a data set: the cache, where metrics look for it.",
)
@click.option(
    "--extractor", default="inception", show_default=True, metavar="NAME", help="Extractor of the features."
)
@click.option(
    "-P", "parameters", multiple=True, metavar="extractor.NAME=VALUE", help="Parameter of the extractor."
)
@click.option(
    "--rounding",
    type=click.Choice(["round", "truncate"]),
    default="round",
    show_default=True,
    help="How a run's float samples become bytes; bytes stay as they are.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--out", type=NamedPath(), help="Results folder in which fingerprints are looked up.")
@click.pass_context
def build_command(
    context: click.Context,
    source: str,
    output: Path | None,
    extractor: str,
    parameters: tuple[str, ...],
    rounding: Rounding,
    device: str | None,
    out: Path | None,
) -> int:
    """Make the statistics of a data set (bench list datasets), folder, .npz or run.

    They hold mean and covariance of the features, the features of 10,000 images drawn without bias, and a
    card: how many images, their hash, the decoder, the extractor with its parameters. An existing file is
    replaced once the new one is complete. Exit status: 0 done, 2 a mistake,
    130 stopped (143 by SIGTERM, 129 by SIGHUP).
    """
    from bench.data.splits import find_split
    from bench.metrics import reference
    from bench.plan.contexts import metric_context
    from bench.plan.settings import settings
    from bench.reporting.progress import Display

    values = plugin_parameters(parameters, flag_values(context))
    for role in values:
        if role != "extractor":
            raise BenchError(f"-P takes extractor.NAME=VALUE here, not a parameter of a {role}")
    overrides = {key: value for key, value in (("device", device), ("out", out)) if value is not None}
    chosen, _ = settings(overrides)
    registry = registry_of(context)
    collector.resume()
    try:
        with Display(console(stderr=True)) as display:
            work = metric_context(chosen, registry, display)
            plugin = work.extractor(extractor, **values.get("extractor", {}))
            split = find_split(source, registry)
            if output is not None:
                target = user_path(output)
            elif split is None:
                raise BenchError(f"the statistics of {source} need a file: give -o FILE.npz")
            elif split.dataset.at_hand:
                target = reference.images_file(work.images(source), plugin, rounding, work)
            else:
                target = reference.dataset_file(split.name, plugin)
            _check(target, source)
            images = work.images(source)
            plugin.check(display)  # may fetch a network, so it comes after the images
            if images.note:
                display(Notice(f"{images.name}: {images.note}"))
            statistics = reference.measure_images(images, plugin, rounding, work, f"measuring {source}")
            try:
                reference.write_statistics(target, statistics)
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno is not None else f"{error}"
                raise BenchError(f"{target} can't be written: {reason}") from error
    except KeyboardInterrupt:
        report_stop("; nothing was written")
        return STOPPED
    echo(f"{target}: {statistics.card['n']} images, {statistics.mean.size} features of {plugin.label}")
    return 0


def _check(target: Path, source: str) -> None:
    """`BenchError` where the target can't be written, before anything is measured."""
    if target.suffix != ".npz":
        raise BenchError(f"{target} must end in .npz, by which metrics recognize a statistics file")
    if target.is_dir():
        raise BenchError(f"{target} is a folder: give a file")
    if target.exists() and user_path(source).exists() and target.samefile(source):
        raise BenchError(f"{target} holds the images: give another file to -o")
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BenchError(f"{target} can't be written: {folder} is not writable")


@stats_command.command("show")
@click.argument("file", type=NamedPath())
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
def show_command(file: Path, as_json: bool) -> None:
    """Show what a statistics FILE holds, and its card."""
    from bench.metrics.reference import read_any_statistics

    path = user_path(file)
    if not path.exists():
        raise BenchError(f"there is no {path}: bench stats build makes statistics")
    statistics = read_any_statistics(path)
    facts = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": statistics.sha256,
        "features": statistics.mean.size,
        "rows": 0 if statistics.rows is None else len(statistics.rows),
    }
    if as_json:
        echo_json(facts | {"card": statistics.card})
        return
    card = statistics.card or {"card": "none: not made by bench stats build, whose extractor is not known"}
    for key, value in [*facts.items(), *card.items()]:
        for part, item in value.items() if isinstance(value, dict) else [("", value)]:
            echo(f"  {f'{key}.{part}' if part else key:<28}{item}")
