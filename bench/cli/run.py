"""``bench run``: sample, measure, record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.console import count
from bench.config import Settings, settings
from bench.errors import BenchError
from bench.plugins import registry

if TYPE_CHECKING:
    from bench.plan import Cell
    from bench.store import Store


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _selection(name: str, help: str) -> Decorator:
    return click.option(f"--{name}", multiple=True, metavar="NAME", help=help)


@click.command("run")
@_selection("sde", "Forward SDE: vp, ve, subvp, … Repeat for several; all selections multiply out.")
@_selection("predictor", "Predictor, or none.")
@_selection("corrector", "Corrector, or none.")
@_selection("solver", "ODE or SDE solver, instead of predictor and corrector.")
@_selection("checkpoint", "Checkpoint to sample from.")
@_selection("metric", "Metric; default: the checkpoint's own.")
@click.option(
    "--profile", metavar="NAME", help="Profile of bench.toml: quick (default), paper, exact, or yours."
)
@click.option("--steps", type=int, help="Noise scales of the time grid.")
@click.option("--samples", type=int, help="Number of samples.")
@click.option("--batch-size", type=int, help="Samples per batch, the unit of randomness and of resuming.")
@click.option("--seed", type=int, help="First seed.")
@click.option("--repeats", type=int, help="Runs with seeds SEED, SEED+1, …")
@click.option("--snr", type=float, help="Short for -P corrector.snr=R.")
@click.option("--corrector-steps", type=int, help="Short for -P corrector.steps=M.")
@click.option("--tol", type=float, help="Short for -P solver.tol=TOL.")
@click.option(
    "-P",
    "parameters",
    multiple=True,
    metavar="ROLE.NAME=VALUE",
    help="Parameter of a plugin; see bench show.",
)
@click.option(
    "--grid", type=click.Choice(["uniform", "logsnr", "polynomial"]), help="Time grid; published: uniform."
)
@click.option("--rho", type=float, help="Exponent of the polynomial grid.")
@click.option(
    "--order", type=click.Choice(["corrector_first", "predictor_first"]), help="Order within a scale."
)
@click.option("--denoise", type=click.Choice(["mean", "tweedie", "none"]), help="How a run ends.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16"]), help="Of the network.")
@click.option("--compile", "compile_", is_flag=True, default=None, help="torch.compile the network.")
@click.option("--executor", metavar="NAME", help="What hands out the batches.")
@click.option("--out", type=click.Path(path_type=Path), help="Results folder.")
@click.option("--dry-run", is_flag=True, help="Say what would run and what is cached; run nothing.")
def run_command(
    parameters: tuple[str, ...],
    profile: str | None,
    compile_: bool | None,
    snr: float | None,
    corrector_steps: int | None,
    tol: float | None,
    dry_run: bool,
    **flags: Any,
) -> int:
    """Run samplers on a checkpoint and measure the samples.

    The same command again runs only what is missing. Exit status: 0 done, 1 a cell failed, 2 a
    mistake in the command, 130 stopped.
    """
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in flags.items() if v is not None and v != ()}
    if compile_:
        given["compile"] = True
    given["parameters"] = _parameters(
        parameters, {"corrector.snr": snr, "corrector.steps": corrector_steps, "solver.tol": tol}
    )
    chosen, name = settings(given, profile)
    _refuse_idle(given, chosen)
    found = registry()
    for problem in found.problems:
        click.echo(f"bench: {problem.message}", err=True)
    from bench.plan import make_plan
    from bench.store import Store

    cells = make_plan(chosen, found)
    store = Store(chosen.out.expanduser(), writes=not dry_run)
    _header(cells, chosen, name, store, said=profile is None)
    if dry_run:
        _dry_run(cells, store)
        return 0
    from bench.cli.progress import Progress, report
    from bench.execute import run_plan

    executor = found.build("executors", chosen.executor, {})
    with Progress() as listener:
        records = run_plan(cells, store, executor, listener)
    report(records, store)
    return int(any(r["status"] == "failed" for r in records))


def _refuse_idle(given: dict[str, Any], chosen: Settings) -> None:
    """A flag that would do nothing is a mistake."""
    idle = [name for name in ("steps", "grid", "rho", "order") if name in given]
    if chosen.solver and idle:
        raise BenchError(
            f"--{idle[0]} has no meaning for a solver, which chooses its own steps: leave it out"
        )
    if "rho" in given and chosen.grid != "polynomial":
        raise BenchError("--rho belongs to the polynomial grid: give --grid polynomial")


def _parameters(texts: tuple[str, ...], short: dict[str, Any]) -> dict[str, dict[str, Any]]:
    pairs = [(key, value) for key, value in short.items() if value is not None]
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key.count(".") != 1:
            raise BenchError(f"-P takes ROLE.NAME=VALUE, not {text!r}")
        pairs.append((key, value))
    found: dict[str, dict[str, Any]] = {}
    for key, value in pairs:
        role, _, name = key.partition(".")
        if name in found.setdefault(role, {}):
            raise BenchError(f"{key} was given twice")
        found[role][name] = value
    return found


def _header(cells: list[Cell], chosen: Settings, name: str, store: Store, *, said: bool) -> None:
    what = f"{', '.join(chosen.checkpoint)}, {chosen.samples} samples"
    what += "" if chosen.solver else f", {chosen.steps} steps"
    click.echo(f"profile {name}: {what}, on {cells[0].device} in {chosen.precision}")
    if said and name == "quick":
        click.echo("the paper's setting: --profile paper (1000 steps, 50,000 samples, 5 seeds; wants a GPU)")
    cached = sum(store.read_record(c.fingerprint) is not None for c in cells)
    checkpoints = len(set(chosen.checkpoint))
    samplers = len(cells) // (checkpoints * chosen.repeats)
    parts = [(checkpoints, "checkpoint"), (samplers, "sampler"), (chosen.repeats, "seed")]
    product = " x ".join(count(*part) for part in parts)
    click.echo(f"{count(len(cells), 'cell')} = {product}; {cached} recorded already")


def _dry_run(cells: list[Cell], store: Store) -> None:
    total = 0
    for cell in cells:
        record = store.read_record(cell.fingerprint)
        there = sum(store.batch_path(cell.key, i, size).exists() for i, size in cell.batches)
        state = record["status"] if record else "to run"
        nfe = cell.planned_nfe
        total += (nfe or 0) * cell.samples * (state != "finished")
        adaptive = "adaptive" if nfe is None else nfe
        click.echo(
            f"  {state:<9} {cell.title} · {cell.samples} samples · NFE {adaptive}"
            f" · {there} of {len(cell.batches)} batches on disk · {cell.fingerprint}"
        )
    click.echo(
        f"to run: {total} network evaluations (samples x NFE), adaptive solvers aside; nothing was run"
    )
