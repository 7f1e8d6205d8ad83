"""``bench stats``: reference statistics, made and shown."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.metrics.features import Extractor


@click.group("stats")
def stats_command() -> None:
    """Reference statistics: make them of any images, show what a file holds.

    \b
    bench stats build cifar10-train
    bench stats build FOLDER -o mine.npz --extractor cifar10-features
    bench stats show mine.npz
    """


@stats_command.command("build")
@click.argument("source")
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Where to; default for a data set: the cache, where metrics look for it.",
)
@click.option("--extractor", default="inception", show_default=True, metavar="NAME", help="Of the features.")
@click.option("--mode", metavar="MODE", help="Mode of the extractor: resizing, and which network.")
@click.option(
    "--rounding",
    type=click.Choice(["round", "truncate"]),
    default="round",
    show_default=True,
    help="How a run's float samples become bytes; bytes stay as they are.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Results folder that fingerprints are of.",
)
def build_command(
    source: str,
    output: Path | None,
    extractor: str,
    mode: str | None,
    rounding: Any,
    device: str,
    out: Path,
) -> int:
    """Make the statistics of a data set (cifar10-train, cifar10-test, …), folder, .npz of images or run.

    They hold mean and covariance of the features, the features of 10,000 images drawn without bias, and a
    card: how many images, their hash, the decoder, the extractor with its mode. A file that is there is
    replaced once the new one is whole. Exit status: 0 done, 2 a mistake, 130 stopped.
    """
    from bench.data.datasets import dataset_name
    from bench.metrics import reference
    from bench.plan.sources import open_images

    chosen = _extractor(extractor, mode)
    dataset = dataset_name(source)
    if output is None and dataset is None:
        raise BenchError(f"where to? -o FILE.npz says where the statistics of {source} go")
    target = reference.dataset_file(str(dataset), chosen) if output is None else output.expanduser()
    _check(target, source)
    from bench.cli.bars import Bars
    from bench.devices import choose_device

    on = choose_device(device)
    try:
        with Bars() as bars:
            images = open_images(source, results=out.expanduser(), notice=bars.line)
            chosen.check()  # may fetch a network: not before the images are there
            if images.note:
                bars.line(f"{images.name}: {images.note}")
            found = reference.measure_images(images, chosen, on, rounding, f"measuring {source}")
            try:
                reference.write(target, found)
            except OSError as error:
                raise BenchError(f"{target} can't be written: {error.strerror}") from error
    except KeyboardInterrupt:
        click.echo("bench: stopped; nothing was written", err=True)
        return 130
    click.echo(f"{target}: {found.card['n']} images, {chosen.width} features of {chosen.label}")
    return 0


def _extractor(name: str, mode: str | None) -> Extractor:
    from bench.metrics.features import find_extractor

    chosen = find_extractor(name, **({} if mode is None else {"mode": mode}))
    if mode is not None and "mode" not in chosen.values():
        raise BenchError(f"the extractor {name} has no modes: leave out --mode")
    return chosen


def _check(target: Path, source: str) -> None:
    """`BenchError` where the target can't be, before anything is measured."""
    if target.suffix != ".npz":
        raise BenchError(f"{target} must end in .npz: by that metrics know a statistics file")
    if target.is_dir():
        raise BenchError(f"{target} is a folder: give a file")
    if target.exists() and Path(source).exists() and target.samefile(source):
        raise BenchError(f"{target} holds the images: give another file to -o")
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BenchError(f"{target} can't be written: {folder} takes no files")


@stats_command.command("show")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
def show_command(file: Path, as_json: bool) -> None:
    """Show what a statistics FILE holds, and its card."""
    from bench.metrics.reference import read_any

    path = file.expanduser()
    if not path.is_file():
        raise BenchError(f"there is no {path}: bench stats build makes statistics")
    found = read_any(path)
    facts = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": found.sha256,
        "features": found.mean.size,
        "rows": 0 if found.rows is None else len(found.rows),
        "card": found.card,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    card = found.card or {"card": "none: not made by bench stats build, whose extractor is not known"}
    for key, value in [*((k, v) for k, v in facts.items() if k != "card"), *card.items()]:
        inner = value.items() if isinstance(value, dict) else [("", value)]
        for part, item in inner:
            click.echo(f"  {f'{key}.{part}' if part else key:<28}{item}")
