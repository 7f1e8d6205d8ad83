"""``bench export``: a run's samples as images for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.console import console, echo
from bench.cli.paths import NamedPath
from bench.cli.stopping import STOPPED, report_stop

if TYPE_CHECKING:
    from bench.metrics.features import Rounding


@click.command("export", short_help="Write a run's samples as 8-bit images.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "-o",
    "target",
    required=True,
    metavar="FOLDER|FILE.npz",
    help="A folder for PNG files, or an .npz with arr_0 (uint8, n x height x width x channels; of points "
    "float32, n x coordinates).",
)
@click.option(
    "--rounding",
    type=click.Choice(["round", "truncate"]),
    default="round",
    show_default=True,
    help="How float samples become bytes, as in bench fid.",
)
@click.option("--overwrite", is_flag=True, help="Replace an .npz, or a folder that an export made.")
@click.option("--out", type=NamedPath(), help="Results folder in which fingerprints are looked up.")
def export_command(
    runs: tuple[str, ...], target: str, rounding: Rounding, overwrite: bool, out: Path | None
) -> int:
    """Write the samples of RUN as 8-bit images, for other programs.

    RUN is a run's fingerprint (its first 4 digits or more), its record, or a results folder of one run. A
    folder of PNG files is what torch-fidelity, pytorch-fid and clean-fid read, an .npz what the evaluator of
    guided-diffusion (ADM) reads; bench fid reads both. Of several runs, such as the seeds of a cell, each has
    a folder in FOLDER, called by its fingerprint. The target appears when it is complete.

    \b
    bench export 2cf71ed5 -o samples/
    bench export results/records/2cf71ed54be41211.json -o samples.npz

    Exit status: 0 done, 2 a mistake in the command or a run without images, 130 stopped (143 by SIGTERM,
    129 by SIGHUP).
    """
    from bench.api.reporting import export
    from bench.reporting.progress import Display

    try:
        with Display(console(stderr=True)) as display:
            exports = export(runs, target, rounding=rounding, overwrite=overwrite, out=out, emit=display)
    except KeyboardInterrupt:
        report_stop("; nothing was exported: the same command begins again")
        return STOPPED
    for one in exports:
        shape = "x".join(map(str, one.shape))
        items = f"points of {shape} coordinates" if len(one.shape) == 1 else f"images of {shape}"
        echo(f"{one.path}: {one.n} {items}, of run {one.fingerprint}")
    return 0
