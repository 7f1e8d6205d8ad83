"""``bench run``: sample, measure, record."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.console import count
from bench.cli.dry_run import dry_run_report
from bench.cli.flags import plugin_parameters
from bench.engine.loop import Rerun
from bench.errors import BenchError
from bench.plan.settings import DEFAULT_TASK, SAMPLER_SETTINGS, Settings, settings, suites
from bench.plan.suites import Place, Suite, resolved
from bench.plugins.registry import Registry, registry
from bench.results.manifest import manifests

if TYPE_CHECKING:
    from bench.results.run_spec import RunSpec
    from bench.results.store import Store


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _selection(name: str, help: str) -> Decorator:
    return click.option(f"--{name}", multiple=True, metavar="NAME", help=help)


@click.command("run")
@click.option(
    "--task", metavar="NAME", help="What is done with the sampler; default: generate. bench list tasks."
)
@click.option(
    "--data", metavar="SOURCE", help="Images of a task that works on some: folder, .npz, run, or data set."
)
@_selection("sde", "Forward SDE: vp, ve, subvp, …; default: the checkpoint's own. Selections multiply out.")
@_selection("predictor", "Predictor, or none.")
@_selection("corrector", "Corrector, or none.")
@_selection("solver", "ODE or SDE solver, instead of predictor and corrector.")
@_selection("checkpoint", "Checkpoint to sample from.")
@_selection("metric", "Metric; default: the checkpoint's own.")
@click.option(
    "--profile", metavar="NAME", help="Profile of bench.toml: quick (default), paper, exact, or yours."
)
@click.option("--suite", metavar="NAME", help="Run a suite's cells; bench list suites shows them.")
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Of a suite, cells whose 'SDE ROW COLUMN' matches, say 'vp * P1000'. Repeat for several.",
)
@click.option("--steps-scale", type=float, help="Multiply a suite's step counts, for a small table.")
@click.option("--steps", type=int, help="Noise scales of the time grid.")
@click.option("--samples", type=int, help="Number of samples.")
@click.option("--batch-size", type=int, help="Samples per batch, the unit of randomness and of resuming.")
@click.option("--seed", type=int, help="First seed.")
@click.option("--repeats", type=int, help="Runs with seeds SEED, SEED+1, …")
@click.option("--snr", type=float, help="Short for -P corrector.snr=R.")
@click.option("--corrector-steps", type=int, help="Short for -P corrector.steps=M.")
@click.option("--tol", type=float, help="Short for -P solver.tol=TOL.")
@click.option("--extrapolate", is_flag=True, default=None, help="Short for -P metric.extrapolate=true.")
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
@click.option("--label-scales", type=int, help="Ask the network at the nearest lower of so many scales.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16"]), help="Of the network.")
@click.option("--compile", is_flag=True, default=None, help="torch.compile the network.")
@click.option("--executor", metavar="NAME", help="What hands out the batches.")
@click.option("--out", type=click.Path(path_type=Path), help="Results folder.")
@click.option(
    "--rerun",
    type=click.Choice(["missing", "failed", "all"]),
    default="failed",
    show_default=True,
    help="Cells to run: never run; also failed ones; all of them anew.",
)
@click.option("--prune", is_flag=True, default=None, help="Remove a cell's samples once it is recorded.")
@click.option("--dry-run", is_flag=True, help="Say what would run and what is cached; run nothing.")
def run_command(
    parameters: tuple[str, ...],
    profile: str | None,
    suite: str | None,
    only: tuple[str, ...],
    steps_scale: float | None,
    snr: float | None,
    corrector_steps: int | None,
    tol: float | None,
    extrapolate: bool | None,
    rerun: Rerun,
    dry_run: bool,
    **flags: Any,
) -> int:
    """Run samplers on a checkpoint and measure the samples.

    The same command again runs only what is missing. Exit status: 0 done, 1 a cell failed, 2 a
    mistake in the command, 130 stopped.
    """
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in flags.items() if v is not None and v != ()}
    short = {"corrector.snr": snr, "corrector.steps": corrector_steps, "solver.tol": tol}
    given["parameters"] = plugin_parameters(parameters, short | {"metric.extrapolate": extrapolate})
    found = registry()
    for problem in found.problems:
        click.echo(f"bench: {problem.message}", err=True)
    asked = None
    if suite is not None:
        asked = resolved(suite, suites())
        _refuse_beside_suite(given, suite)
        given, profile = _of_suite(asked, given, profile, found)
    elif steps_scale is not None or only:
        raise BenchError("--steps-scale and --only belong to a suite: give --suite")
    chosen, name = settings(given, profile)
    from bench.cli.bars import Lines
    from bench.plan.planning import for_task, make_plan, metric_context, plan_suite

    if suite is None:
        chosen = for_task(chosen, found)
    from bench.results.store import Store

    scale = 1.0 if steps_scale is None else steps_scale
    if not 0 < scale <= 100:
        raise BenchError(f"--steps-scale must lie above 0 and at most at 100, not {scale:g}")
    context = metric_context(chosen, found, Lines())
    plans = []
    if asked is not None and suite is not None:
        planned = plan_suite(chosen, suite, asked, found, scale, context)
        cells = _matching(planned, only)
        plans = manifests(suite, asked, planned, scale)
    else:
        cells = make_plan(chosen, found, context)
    _refuse_idle(given, chosen)
    said: list[str] = []
    store = Store(chosen.out.expanduser(), writes=not dry_run, notice=said.append)
    _header(cells, chosen, name, store, suite, said=profile is None)
    if dry_run:
        dry_run_report(cells, store, rerun, context)
        for line in said:
            click.echo(f"bench: {line}", err=True)
        return 0
    for plan in plans:
        store.write_suite(plan)
    from bench.cli.progress import Progress, report
    from bench.engine.loop import run_plan

    executor = found.build("executors", chosen.executor, {})
    with Progress(len(cells)) as listener:
        for line in said:
            listener.notice(line)
        store.notice = listener.notice
        records = run_plan(cells, store, executor, listener, context, rerun, prune=chosen.prune)
    report(records, store, table=suite is None)
    if suite is not None:
        click.echo(f"  table   bench table {suite}" + _out_flag(chosen.out))
    return int(any(r["status"] == "failed" for r in records))


def _matching(planned: list[tuple[Place, RunSpec]], patterns: tuple[str, ...]) -> list[RunSpec]:
    names = {str(place) for place, _ in planned}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise BenchError(f"no cell of the suite matches {pattern!r}: a cell is called {min(names)!r}")
    return [
        cell
        for place, cell in planned
        if not patterns or any(fnmatchcase(str(place), pattern) for pattern in patterns)
    ]


def _out_flag(out: Path) -> str:
    return "" if str(out) == "results" else f" --out {out}"


def _refuse_beside_suite(given: dict[str, Any], suite: str) -> None:
    """A suite sets its own samplers."""
    own = [f"--{key.replace('_', '-')}" for key in SAMPLER_SETTINGS if key in given]
    own += [f"a parameter of a {role}" for role in given["parameters"] if role != "metric"]
    if own:
        raise BenchError(
            f"the suite {suite} sets its own samplers: leave out {own[0]}, or define a suite in bench.toml "
            f'(extends = "{suite}" takes in its cells)'
        )


def _of_suite(
    asked: Suite, given: dict[str, Any], profile: str | None, found: Registry
) -> tuple[dict[str, Any], str | None]:
    """A suite's checkpoint where none is given; and ``exact`` as the profile of exact checkpoints."""
    if "checkpoint" not in given and asked.checkpoint is not None:
        named = asked.checkpoint
        given = given | {"checkpoint": [named] if isinstance(named, str) else named}
    cards = [found.get("checkpoints", name).thing for name in given.get("checkpoint", [])]
    if profile is None and cards and all(card.exact for card in cards):
        profile = "exact"
    return given, profile


def _refuse_idle(given: dict[str, Any], chosen: Settings) -> None:
    """A flag that would do nothing is a mistake."""
    idle = [name for name in ("steps", "grid", "rho", "order") if name in given]
    if chosen.solver and idle:
        raise BenchError(
            f"--{idle[0]} has no meaning for a solver, which makes its own steps: leave it out "
            "(bench show NAME tells a solver's own parameters)"
        )
    if "rho" in given and chosen.grid != "polynomial":
        raise BenchError("--rho belongs to the polynomial grid: give --grid polynomial")


def _header(
    cells: list[RunSpec], chosen: Settings, name: str, store: Store, suite: str | None, *, said: bool
) -> None:
    what = f"{', '.join(chosen.checkpoint)}, {chosen.samples} samples"
    what += "" if chosen.solver or suite else f", {chosen.steps} steps"
    click.echo(f"profile {name}: {what}, on {cells[0].device} in {chosen.precision}")
    if said and name == "quick" and chosen.task == DEFAULT_TASK:
        click.echo("the paper's setting: --profile paper (1000 steps, 50,000 samples, 5 seeds; wants a GPU)")
    for line in sorted({_rescaled(cell) for cell in cells if cell.convention == "rescaled"}):
        click.echo(line)
    cached = sum(store.read_record(c.fingerprint) is not None for c in cells)
    checkpoints = len(set(chosen.checkpoint))
    samplers = len(cells) // (checkpoints * chosen.repeats)
    parts = [(checkpoints, "checkpoint"), (samplers, "sampler"), (chosen.repeats, "seed")]
    product = " x ".join(count(*part) for part in parts)
    of = f"suite {suite}: " if suite else ""
    click.echo(f"{of}{count(len(cells), 'cell')} = {product}; {cached} recorded already")
    if suite:
        calls = sum((cell.planned_nfe or 0) * cell.samples for cell in cells)
        click.echo(f"{calls:.3g} network evaluations in all (samples x NFE), adaptive solvers aside")


def _rescaled(cell: RunSpec) -> str:
    """What a network was trained on, where the run's SDE is another."""
    from bench.checkpoints.load import own_sde

    own, run = own_sde(cell.card), cell.sampler.sde
    assert own is not None
    values = {k: v for k, v in own.values().items() if own.name == run.name and k != "eps"}
    other = [f"{k}={v:g}" for k, v in values.items() if run.values()[k] != v]
    trained = f"{own.name} with {', '.join(other)}" if other else own.name
    if values and tuple(cell.card.data_range) != tuple(run.data_range):
        trained = f"{own.name} with images from {cell.card.data_range[0]:g} to {cell.card.data_range[1]:g}"
    return f"{cell.card.name} was trained on {trained}: it is asked at the level of equal sigma/alpha"
