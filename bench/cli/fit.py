"""``bench fit``: a plugin is fitted to a checkpoint, and runs use the file that it leaves."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.console import console, echo, echo_json
from bench.cli.context import registry_of
from bench.cli.flags import flag_command, flag_values
from bench.cli.parameters import plugin_parameters
from bench.cli.paths import NamedPath
from bench.cli.stopping import STOPPED, report_stop
from bench.params import parameter_text

if TYPE_CHECKING:
    from bench.engine.fitting import Fit
    from bench.plugins.registry import Registry


@click.command(
    "fit",
    short_help="Fit a time grid, predictor or solver to a checkpoint.",
    cls=flag_command("grid", "predictor", "solver", "sde"),
)
@click.argument("name")
@click.option("--checkpoint", metavar="NAME", required=True, help="Checkpoint to fit to.")
@click.option("-o", "output", type=NamedPath(), metavar="FILE.json", required=True, help="Artifact's file.")
@click.option("--nfe", type=int, help="Network calls per sample of the runs that it is fitted for.")
@click.option("--steps", type=int, help="In place of --nfe: their number of steps.")
@click.option("--sde", metavar="NAME", help="Forward SDE; default: the checkpoint's own.")
@click.option("--predictor", metavar="NAME", help="Predictor that a grid is fitted for; default: ddim.")
@click.option("--grid", metavar="NAME", help="Grid that a predictor is fitted on; default: polynomial.")
@click.option("--samples", type=int, default=64, show_default=True, help="Number of samples of the fit.")
@click.option("--batch-size", type=int, default=64, show_default=True, help="Samples per batch.")
@click.option(
    "--seed",
    type=int,
    default=1000,
    show_default=True,
    help="Seed of the samples of the fit; runs of this seed can't use the artifact.",
)
@click.option(
    "--labels",
    metavar="seed|turn|CLASS",
    help="Classes that a class-conditional checkpoint is given: seed (drawn; default), turn, or one class.",
)
@click.option(
    "-P",
    "parameters",
    multiple=True,
    metavar="ROLE.NAME=VALUE",
    help="Parameter of a plugin; see bench show.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16"]), help="Precision of the network.")
@click.option("--overwrite", is_flag=True, help="Replace a file that holds another fit.")
@click.option("--json", "as_json", is_flag=True, help="Print plain JSON.")
@click.pass_context
def fit_command(
    context: click.Context,
    /,
    name: str,
    checkpoint: str,
    output: Path,
    nfe: int | None,
    steps: int | None,
    sde: str | None,
    predictor: str | None,
    grid: str | None,
    samples: int,
    batch_size: int,
    seed: int,
    labels: str | None,
    parameters: tuple[str, ...],
    device: str | None,
    precision: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Fit NAME to a checkpoint: a time grid, predictor or solver that learns from the network itself.

    \b
    bench fit gits --checkpoint cifar10-tiny --nfe 5 -o gits-5.json
    bench run --checkpoint cifar10-tiny --predictor ddim --steps 5 --grid gits -P grid.artifact=gits-5.json

    What it finds is an artifact, a file whose hash is part of the fingerprint of the runs that use it, and
    what it cost is a column of their tables. A fit that is stopped goes on by the same command. Exit status:
    0 done, 2 a mistake in the command, 130 stopped (143 by SIGTERM, 129 by SIGHUP).
    """
    from bench.api.running import fit
    from bench.reporting.progress import Display

    try:
        with Display(console(stderr=True)) as display:
            result = fit(
                name,
                output,
                checkpoint=checkpoint,
                sde=sde,
                predictor=predictor,
                grid=grid,
                steps=steps,
                nfe=nfe,
                samples=samples,
                batch_size=batch_size,
                seed=seed,
                labels=int(labels) if labels is not None and labels.isdecimal() else labels,
                parameters=plugin_parameters(parameters, flag_values(context)),
                device=device,
                precision=precision,
                overwrite=overwrite,
                registry=registry_of(context),
                emit=display,
            )
    except KeyboardInterrupt:
        report_stop("; the same command goes on from the last finished part")
        return STOPPED
    if as_json:
        echo_json(result.plain())
        return 0
    _print(result, registry_of(context))
    return 0


def _print(result: Fit, registry: Registry) -> None:
    facts = result.facts
    state = "" if result.new else " (it was there already)"
    what = f"{facts.plugin} for {facts.sampler}, {facts.steps} steps, on {facts.checkpoint}"
    echo(f"{result.file}: {what}{state}")
    for name, value in facts.values.items():
        texts = [f"{one:.4g}" if isinstance(one, float) else f"{one}" for one in _items(value)]
        echo(f"  {name}: {', '.join(texts)}")
    echo(f"  fitted by {facts.fit_nfe:.0f} network evaluations in {facts.fit_seconds:.1f} s")
    use = f"-P {shlex.quote(f'{result.role}.artifact={result.file}')}"
    steps = "" if result.role == "solver" else f" --steps {facts.steps}"
    own = f"--predictor {facts.sampler} --grid {facts.plugin}" if result.role == "grid" else ""
    own = own or f"--{result.role} {facts.plugin}"
    own += "" if facts.grid is None else f" --grid {facts.grid}"
    used = [("sde", facts.sde, facts.sde_parameters)]
    used += [("predictor", facts.sampler, facts.sampler_parameters)] if result.role == "grid" else []
    used += [("grid", facts.grid, facts.grid_parameters)] if facts.grid is not None else []
    settings = "".join(_settings(registry, *each) for each in used)
    command = f"bench run --checkpoint {facts.checkpoint} --sde {facts.sde} {own}{steps}{settings} {use}"
    echo(f"  to use it: {command}")


def _settings(registry: Registry, role: str, name: str, parameters: Mapping[str, object]) -> str:
    """The flags of a plugin's parameters that are not its defaults."""
    usual = registry.build(f"{role}s", name, {}).values()
    texts = [f"{key}={parameter_text(one)}" for key, one in parameters.items() if one != usual.get(key)]
    return "".join(f" -P {shlex.quote(f'{role}.{text}')}" for text in texts)


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
