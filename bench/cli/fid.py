"""``bench fid``: anyone's samples by any metrics."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.console import console
from bench.cli.run import plugin_parameters
from bench.errors import BenchError
from bench.plan.settings import settings
from bench.plugins.registry import registry
from bench.results.store import Store

if TYPE_CHECKING:
    from torch import Tensor, device

    from bench.cli.bars import Bars
    from bench.data.images import Images
    from bench.metrics.role import Metric


@dataclasses.dataclass(frozen=True)
class Asked:
    """A metric as it was asked for, as it is taken (its reference a statistics file), and what to call it.

    ``against`` and ``card`` are the reference's name and what is known of it; empty where it has none.
    """

    metric: Metric
    taken: Metric
    label: str
    against: str = ""
    card: dict[str, Any] = dataclasses.field(default_factory=dict)


@click.command("fid")
@click.argument("path")
@click.option(
    "--reference",
    metavar="WHAT",
    help="A data set (cifar10: its training images, the default), statistics (.npz), or images as PATH.",
)
@click.option("--metric", multiple=True, metavar="NAME", help="Metric to take; may repeat. Default: fid.")
@click.option("-P", "parameters", multiple=True, metavar="metric.NAME=VALUE", help="Parameter of a metric.")
@click.option("--extrapolate", is_flag=True, default=None, help="Short for -P metric.extrapolate=true.")
@click.option(
    "--rounding",
    type=click.Choice(["round", "truncate"]),
    help="How a run's float samples become bytes; bytes stay as they are. Default: round.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="Results folder that fingerprints are of.")
def fid_command(
    path: str,
    reference: str | None,
    metric: tuple[str, ...],
    parameters: tuple[str, ...],
    extrapolate: bool | None,
    rounding: str | None,
    device: str | None,
    as_json: bool,
    out: Path | None,
) -> int:
    """Measure the images of PATH, whoever made them: FID, or any metrics.

    PATH is a folder of PNG, JPEG, WebP or BMP files, an .npz of images (uint8, n x height x width x 3, as EDM
    and guided-diffusion write it), a run (its fingerprint or record), or a data set by name. Nothing is
    resized or converted. A reference that is images is measured first and kept in the cache.

    \b
    bench fid samples/ --reference cifar10
    bench fid samples.npz --metric fd_cifar10
    bench fid samples/ --reference cifar10-test --metric fid -P metric.mode=clean

    Exit status: 0 done, 2 a mistake in the command or in the images, 130 stopped.
    """
    names = list(dict.fromkeys(metric)) or ["fid"]
    own = plugin_parameters(
        parameters,
        {"metric.reference": reference, "metric.rounding": rounding, "metric.extrapolate": extrapolate},
    )
    for role in own:
        if role != "metric":
            raise BenchError(f"-P takes metric.NAME=VALUE here, not a parameter of a {role}")
    given = {"device": device, "out": out}
    flags = {"metric": names, "parameters": own} | {k: v for k, v in given.items() if v is not None}
    chosen, _ = settings(flags)
    metrics = _built(names, chosen.parameters.get("metric", {}))
    from bench.cli.bars import Bars
    from bench.devices import choose_device
    from bench.metrics.reference import hashed
    from bench.plan.sources import open_images

    on = choose_device(chosen.device)
    try:
        with Bars() as bars:
            images = open_images(path, results=chosen.out.expanduser(), notice=bars.line)
            asked = [_resolved(one, on, chosen.out.expanduser()) for one in metrics]
            readings = _readings(images, asked, on, bars)
            if as_json:
                hashed(images)
    except KeyboardInterrupt:
        click.echo("bench: stopped; nothing was measured", err=True)
        return 130
    if as_json:
        plain = {"source": images.facts(), "device": on.type, "metrics": readings}
        click.echo(json.dumps(plain, indent=1))
    else:
        _show(images, readings)
    return 0


def _built(names: list[str], given: dict[str, Any]) -> list[Metric]:
    """The metrics; a reference goes to those that take one, and is refused for one that has another."""
    from bench.data.datasets import dataset_name
    from bench.plan.planning import build_metrics

    found = registry()
    for problem in found.problems:
        click.echo(f"bench: {problem.message}", err=True)
    kinds = {name: found.get("metrics", name).thing for name in names}
    takes = {name for name, kind in kinds.items() if "reference" in {p.name for p in kind.parameters()}}
    reference = given.get("reference")
    if isinstance(reference, str) and (full := dataset_name(reference)) is not None:
        given = given | {"reference": full}  # cifar10 is cifar10-train, and so labelled
    passed = given if takes else {k: v for k, v in given.items() if k != "reference"}
    metrics = list(build_metrics(found, names, passed))
    for metric in metrics:
        fixed = "" if metric.name in takes else _fixed(metric)
        if fixed and reference not in (None, fixed) and given["reference"] != "cifar10-train":
            raise BenchError(
                f"{metric.name} is always against {fixed}: leave out --reference, or take another --metric"
            )
    return metrics


def _fixed(metric: Metric) -> str:
    """What a metric without the parameter ``reference`` is measured against; empty where it needs nothing."""
    from bench.metrics.features import FeatureMetric

    if isinstance(metric, FeatureMetric):
        named = getattr(metric, "reference_name", None)
        return "" if named is None else str(named())
    return ", ".join(metric.provenance())


def _resolved(metric: Metric, on: device, results: Path) -> Asked:
    """The metric with its reference found, or measured."""
    from bench.metrics import reference
    from bench.metrics.features import FeatureMetric

    if not isinstance(metric, FeatureMetric):
        return Asked(metric, metric, metric.label, _fixed(metric))
    extractor = metric.source()
    extractor.check()
    values = metric.values()
    if "reference" not in values:
        name = _fixed(metric)
        card = reference.read(reference.find(name, extractor), extractor).card if name else {}
        return Asked(metric, metric, metric.label, name, card)
    name = values.pop("reference")
    path = reference.find(name, extractor, on, metric.rounding, results)
    card = reference.read(path, extractor).card
    taken = metric.build(values | {"reference": str(path)})
    return Asked(metric, taken, metric.build(values).label, name, card)


class _Foreign(Store):
    """A store of one run's batches that are not on disk but come from anywhere, in their order."""

    def __init__(self, batches: Iterator[Tensor]) -> None:
        super().__init__(Path(), writes=False)
        self._batches = batches

    def read_batch(self, key: str, index: int, size: int) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        images = next(self._batches, None)
        return None if images is None else ({"images": images}, {})


def _readings(images: Images, asked: Sequence[Asked], on: device, bars: Bars) -> dict[str, dict[str, Any]]:
    """Every metric's reading of the images, with what it was taken against."""
    from bench.engine.measuring import readings

    if images.note:
        bars.line(f"{images.name}: {images.note}")
    doing, done = f"measuring {images.name}", 0
    bars(doing, 0, images.n)

    def seen(batch: dict[str, Tensor], _: dict[str, Any]) -> None:
        nonlocal done
        done += len(batch["images"])
        bars(doing, done, images.n)

    store = _Foreign(iter(images))
    taken = [one.taken for one in asked]
    found = readings(taken, store, images.name, list(enumerate(images.sizes())), on, seen)
    made = {}
    for one in asked:
        reading = found[one.taken.label]
        path = one.taken.values().get("reference")
        hashes = {one.against if k == path else k: v for k, v in reading["with"]["provenance"].items()}
        reading["with"] = {"parameters": one.metric.values(), "provenance": hashes}
        made[one.label] = reading | {"reference": one.against, "reference_card": one.card}
    return made


def _show(images: Images, readings: dict[str, dict[str, Any]]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.reporting.summary import fits, over_samples

    out = console()
    channels, height, width = images.shape
    what = f"{images.name}: {images.n} images of {channels}x{height}x{width} ({images.kind})"
    out.print(escape(what), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("metric", "value", "n", "better", "against"):
        table.add_column(column, overflow="fold")
    for label, reading in readings.items():
        dagger = " †" if reading["note"] else ""
        value = f"{reading['value']:.6g}{dagger}{over_samples([reading])}"
        against = reading["reference"] or "nothing"
        n = reading["reference_card"].get("n")
        against += f" ({n} images)" if n else ""
        table.add_row(*map(escape, (label, value, str(reading["n"]), reading["direction"], against)))
    out.print(table)
    for line in fits(readings):
        out.print(escape(line), soft_wrap=True)
    for label, reading in readings.items():
        if reading["note"]:
            bias = f" (bias: {reading['bias']})" if reading["bias"] else ""
            out.print(escape(f"† {label}: {reading['note']}{bias}"), soft_wrap=True)
