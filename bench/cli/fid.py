"""``bench fid``: metrics of images from any source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import collector
from bench.cli.console import console, echo_json
from bench.cli.context import registry_with_problems
from bench.cli.flags import flag_command, flag_values
from bench.cli.parameters import metric_parameters
from bench.cli.paths import NamedPath
from bench.cli.stopping import STOPPED, report_stop
from bench.errors import printable

if TYPE_CHECKING:
    from bench.engine.foreign import ImageMeasurement


@click.command(
    "fid", short_help="Measure images from any source: FID, or other metrics.", cls=flag_command("metric")
)
@click.argument("path")
@click.option(
    "--reference",
    metavar="WHAT",
    help="A data set (cifar10: its training images, the default), statistics (.npz), or images as PATH.",
)
@click.option("--metric", multiple=True, metavar="NAME", help="Metric; repeats. Default: fid.")
@click.option("-P", "parameters", multiple=True, metavar="metric.NAME=VALUE", help="Parameter of a metric.")
@click.option(
    "--rounding",
    type=click.Choice(["round", "truncate"]),
    help="How a run's float samples become bytes; bytes stay as they are. Default: round.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@click.option("--out", type=NamedPath(), help="Results folder in which fingerprints are looked up.")
@click.pass_context
def fid_command(
    context: click.Context,
    path: str,
    reference: str | None,
    metric: tuple[str, ...],
    parameters: tuple[str, ...],
    rounding: str | None,
    device: str | None,
    as_json: bool,
    out: Path | None,
) -> int:
    """Measure the images of PATH, from any source: FID, or other metrics.

    PATH is a folder of PNG, JPEG, WebP or BMP files, RGB or gray, an .npz of images (uint8, n x height x
    width x 3, as EDM and guided-diffusion write it, or n x height x width) or of points (floats, n x D), a
    run (its fingerprint or record), or a data set (bench list datasets). Nothing is resized or converted.
    Images as a reference are measured first; their statistics stay in the cache.

    \b
    bench fid samples/ --reference cifar10
    bench fid samples.npz --metric fd_cifar10
    bench fid samples/ --reference cifar10-test --metric fid -P metric.mode=clean

    Exit status: 0 done, 2 a mistake in the command or in the images, 130 stopped (143 by SIGTERM,
    129 by SIGHUP).
    """
    names = list(dict.fromkeys(metric)) or ["fid"]
    own = {"metric.reference": reference, "metric.rounding": rounding}
    values = metric_parameters(parameters, flag_values(context) | own)
    registry = registry_with_problems(context)
    from bench.api.measuring import measure
    from bench.reporting.progress import Display

    collector.resume()
    try:
        with Display(console(stderr=True)) as display:
            measurement = measure(
                path,
                metric=names,
                parameters=values,
                device=device,
                out=out,
                registry=registry,
                emit=display,
            )
    except KeyboardInterrupt:
        report_stop("; nothing was measured")
        return STOPPED
    if as_json:
        echo_json(measurement.to_json())
    else:
        _print_table(measurement)
    return 0


def _print_table(measurement: ImageMeasurement) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.data.images import items_of
    from bench.reporting.summary import fits, over_samples

    out = console()
    source = measurement.source
    shape = "x".join(map(str, measurement.shape))
    what = f"images of {shape}" if len(measurement.shape) > 1 else items_of(measurement.shape)
    title = f"{source['name']}: {source['n']} {what} ({source['kind']})"
    out.print(escape(printable(title, None)), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("metric", "value", "n", "better", "against"):
        table.add_column(column, overflow="fold")
    for label, metric in measurement.metrics.items():
        record, n = metric.record, metric.reference_card.get("n")
        value = f"{record.value:.6g}{' †' if record.note else ''}{over_samples([record])}"
        rows = record.details.get("reference_rows", n)
        images = f"{n}" if rows == n else f"{rows} of its {n}"
        against = (metric.reference or "nothing") + (f" ({images} images)" if n else "")
        cells = (label, value, str(record.n), record.direction, against)
        table.add_row(*(escape(printable(cell, None)) for cell in cells))
    out.print(table)
    plain = {label: metric.record for label, metric in measurement.metrics.items()}
    for line in fits(plain):
        out.print(escape(printable(line, None)), soft_wrap=True)
    for label, metric in measurement.metrics.items():
        if metric.record.note:
            bias = f" (bias: {metric.record.bias})" if metric.record.bias else ""
            out.print(escape(printable(f"† {label}: {metric.record.note}{bias}", None)), soft_wrap=True)
