"""``bench run``: sample, measure, record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli import collector
from bench.cli.console import console, echo, echo_json
from bench.cli.context import registry_with_problems
from bench.cli.flags import flag_command, flag_values
from bench.cli.parameters import plugin_parameters
from bench.cli.paths import NamedPath
from bench.cli.stopping import STOPPED, report_stop
from bench.errors import printable

if TYPE_CHECKING:
    from bench.api.running import Job
    from bench.engine.ledger import Rerun
    from bench.plan.dry_run import DryRun
    from bench.plugins.registry import Registry
    from bench.results.run_spec import RunSpec

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _class_labels(context: click.Context, parameter: click.Parameter, value: str | None) -> str | int | None:
    """The setting ``labels``: ``seed``, ``turn``, or the index of a class."""
    if value is None or value in ("seed", "turn"):
        return value
    if not value.isascii() or not value.isdigit():
        text = f"{printable(value, 40)!r} is not seed, turn or the index of a class"
        raise click.BadParameter(text, context, parameter)
    return int(value[:20])


def _one_value(context: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> Any:
    """The only value of an option, None for none; click itself would take the last of several."""
    if len(values) > 1:
        raise click.UsageError(f"{parameter.opts[0]} was given twice: it takes one value", context)
    return values[0] if values else None


def _setting(name: str, help: str, **options: Any) -> Decorator:
    """An option of one value that looks like a selection: given twice it is an error."""
    return click.option(f"--{name}", multiple=True, callback=_one_value, help=help, **options)


def _selection(name: str, help: str) -> Decorator:
    return click.option(f"--{name}", multiple=True, metavar="NAME", help=help)


@click.command(
    "run",
    cls=flag_command(
        "task", "sde", "predictor", "corrector", "solver", "grid", "metric", "executor", "logger"
    ),
)
@click.option(
    "--task", metavar="NAME", help="What the run does with the sampler; default: generate. bench list tasks."
)
@click.option(
    "--data", metavar="SOURCE", help="Images that the task works on: folder, .npz, run, or data set."
)
@_selection("sde", "Forward SDE: vp, ve, subvp, …; default: the checkpoint's own. Selections multiply out.")
@_selection("predictor", "Predictor, or none.")
@_selection("corrector", "Corrector, or none.")
@_selection("solver", "ODE or SDE solver, instead of predictor and corrector.")
@_selection("checkpoint", "Checkpoint to sample from.")
@_selection("metric", "Metric, or none; default: the checkpoint's own.")
@click.option(
    "--profile",
    metavar="NAME",
    help="Profile of bench.toml: quick (default), paper, exact, yours, or none for no bench.toml.",
)
@click.option("--suite", metavar="NAME", help="Run a suite; bench list suites shows them.")
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Run only the suite's runs whose 'SDE ROW COLUMN' matches, such as 'vp * P1000'; repeats.",
)
@click.option("--steps-scale", type=float, help="Multiply a suite's step counts, for a small table.")
@_setting("steps", type=int, help="Steps of the time grid.")
@click.option("--samples", type=int, help="Number of samples.")
@click.option("--batch-size", type=int, help="Samples per batch, the unit of randomness and of resuming.")
@click.option("--seed", type=int, help="First seed.")
@click.option("--repeats", type=int, help="Runs with seeds SEED, SEED+1, …")
@click.option(
    "-P",
    "parameters",
    multiple=True,
    metavar="ROLE.NAME=VALUE",
    help="Parameter of a plugin; see bench show.",
)
@_setting("grid", metavar="NAME", help="Time grid; published: uniform. bench list grids.")
@click.option(
    "--order",
    type=click.Choice(["corrector_first", "predictor_first"]),
    help="Order of corrector and predictor at a noise level.",
)
@click.option("--denoise", type=click.Choice(["mean", "tweedie", "none"]), help="How a run ends.")
@click.option(
    "--labels",
    metavar="seed|turn|CLASS",
    callback=_class_labels,
    help="Classes that a class-conditional checkpoint is given: seed (drawn; default), turn, or one class.",
)
@click.option(
    "--label-scales", type=int, help="Call the network at the nearest lower of this number of scales."
)
@click.option(
    "--afs",
    is_flag=True,
    default=None,
    help="Analytic slope in the first step: one network call less.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "tf32", "bf16"]),
    help="Precision of the network; auto: bf16 where the device multiplies it.",
)
@click.option("--compile", is_flag=True, default=None, help="torch.compile the network.")
@click.option("--executor", metavar="NAME", help="Executor of the batches.")
@_selection("logger", "Logger that receives the records, such as tensorboard; none for none of bench.toml.")
@click.option(
    "--published-of",
    multiple=True,
    metavar="CHECKPOINT",
    help="Show published figures of other checkpoints at the end, or below a suite's tables.",
)
@click.option("--out", type=NamedPath(), help="Results folder.")
@click.option(
    "--rerun",
    type=click.Choice(["missing", "failed", "all"]),
    default="failed",
    show_default=True,
    help="Runs to execute: those without a record; failed ones too; all of them anew.",
)
@click.option(
    "--prune",
    is_flag=True,
    default=None,
    help="Remove a run's samples once they are measured; those that metrics of other runs read stay.",
)
@click.option(
    "--report",
    "page_file",
    type=NamedPath(),
    metavar="FILE",
    help="Write the page of bench report at the end.",
)
@click.option("--dry-run", is_flag=True, help="Print what would run and what is cached; run nothing.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the runs as plain JSON; all else goes to stderr."
)
@click.pass_context
def run_command(
    context: click.Context,
    /,
    parameters: tuple[str, ...],
    profile: str | None,
    suite: str | None,
    only: tuple[str, ...],
    steps_scale: float | None,
    published_of: tuple[str, ...],
    rerun: Rerun,
    page_file: Path | None,
    dry_run: bool,
    as_json: bool,
    **flags: object,
) -> int:
    """Run samplers on a checkpoint and measure the samples.

    The same command again runs only what is missing. Exit status: 0 done, 1 a run failed, 2 a
    mistake in the command, 130 stopped (143 by SIGTERM, 129 by SIGHUP).
    """
    from bench.api.reporting import report as write_report
    from bench.api.running import plan_job
    from bench.devices import place_of_process
    from bench.plan.request import Request
    from bench.reporting.progress import Display
    from bench.reporting.published_figures import all_figures, check_published_of
    from bench.reporting.suite_tables import tables_of_records
    from bench.reporting.terminal import print_published, print_run_report

    registry = registry_with_problems(context)
    values: dict[str, object] = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in flags.items()
        if value is not None and value != ()
    }
    values["parameters"] = plugin_parameters(parameters, flag_values(context))
    request = Request(values, profile, suite, only, steps_scale, check_published_of(published_of))
    if as_json:
        all_figures()  # a damaged file of figures is reported before anything is sampled
    # of the processes that torchrun or srun started, the first one prints
    silent = bool(place_of_process("RANK", "SLURM_PROCID"))
    screen = console(stderr=as_json, quiet=silent)
    display = Display(screen)
    with display:
        job = plan_job(request, registry, writes=not dry_run, emit=display)
    if not silent:
        _print_header(job, registry, hint=profile is None, err=as_json)
    report = job.dry_run(rerun)
    if dry_run:
        if silent:
            return 0
        if as_json:
            echo_json(report.plain())
        else:
            _print_dry_run(report)
        return 0
    display.expect(report.forecast)
    collector.resume()
    try:
        with display:
            results = job.execute(rerun, display)
    except KeyboardInterrupt:
        remains = display.on_disk()
        again = ": run the same command again to go on" if remains and rerun != "all" else ""
        report_stop(f"; {remains or 'no batch was finished'}{again}")
        return STOPPED
    if silent:
        return int(bool(results.failed))
    print_run_report(results.records, job.store, screen, table=suite is None)
    if suite is None:
        for table in tables_of_records(results.records, published_of):
            print_published(table, screen)
    else:
        out = job.plan.settings.out
        echo(
            f"  table    bench table {suite}" + ("" if str(out) == "results" else f" --out {out}"),
            err=as_json,
        )
    try:
        if page_file is not None:
            page = write_report(
                results if suite is None else suite,
                to=page_file,
                out=job.store.root,
                published_of=published_of or None,
                registry=registry,
                emit=display,
            )
            echo(f"  report   {page.text}", err=as_json)
    finally:
        if as_json:
            echo_json(results.plain(published_of))
    return int(bool(results.failed))


def _print_header(job: Job, registry: Registry, *, hint: bool, err: bool) -> None:
    """Print the plan in a few lines, on stderr if ``err``."""
    from bench.plan.divergence import divergence_note
    from bench.plan.request import rescaling_note
    from bench.plan.settings import DEFAULT_TASK
    from bench.reporting.text import count

    plan, settings = job.plan, job.plan.settings
    specs = plan.specs
    what = f"{', '.join(settings.checkpoint)}, {settings.samples} samples"
    what += "" if settings.solver or plan.suite else f", {settings.steps} steps"
    precisions = " and ".join(dict.fromkeys(spec.precision for spec in specs))
    precisions += " (auto)" if settings.precision == "auto" else ""
    device = f", on {specs[0].device} in {precisions}" if specs else ""
    echo(f"profile {plan.profile}: {what}{device}", err=err)
    if hint and plan.profile == "quick" and settings.task == DEFAULT_TASK:
        paper = "(1000 steps, 50,000 samples, 5 seeds; needs a GPU)"
        echo(f"the paper's setting: --profile paper --checkpoint NAME {paper}", err=err)
    first = {spec.title: spec for spec in reversed(specs)}.values()  # seeds share their notes
    for line in sorted({note for spec in first if (note := rescaling_note(spec, registry)) is not None}):
        echo(line, err=err)
    remarks = [note for spec in first if spec.sampler.solver for note in _solver_notes(spec)]
    for line in dict.fromkeys(remarks):
        echo(line, err=err)
    diverging = [note for spec in first if (note := divergence_note(spec)) is not None]
    for line in diverging[:3]:
        echo(line, err=err)
    if len(diverging) > 3:
        echo(f"and so it is with {count(len(diverging) - 3, 'further run')}", err=err)
    recorded = sum(job.store.read_record(run.fingerprint) is not None for run in plan.runs)
    checkpoints = len(set(settings.checkpoint))
    samplers = len(plan.runs) // (checkpoints * settings.repeats)
    factors = [(checkpoints, "checkpoint"), (samplers, "sampler"), (settings.repeats, "seed")]
    product = " x ".join(count(*factor) for factor in factors)
    prefix = f"suite {plan.suite}: " if plan.suite else ""
    echo(f"{prefix}{count(len(plan.runs), 'run')} = {product}; {recorded} recorded already", err=err)
    if plan.companions:
        fine = count(len(plan.companions), "further run")
        echo(
            f"and {fine} that metrics read: {', '.join(sorted({one.title for one in plan.companions}))}",
            err=err,
        )
    if plan.suite:
        calls = sum((spec.planned_nfe or 0) * spec.samples for spec in specs)
        echo(f"{calls:.3g} network evaluations in all (samples x NFE), adaptive solvers aside", err=err)


def _solver_notes(spec: RunSpec) -> tuple[str, ...]:
    """What a run's solver says of itself; nothing where its code fails, which the run itself reports."""
    solver = spec.sampler.solver
    try:
        return () if solver is None else solver.notes(spec.sampler.solver_sde)
    except Exception:
        return ()


def _print_dry_run(report: DryRun) -> None:
    """Print each run with its state, and the total work that is left."""
    from bench.reporting.text import count, duration

    for entry in report.entries:
        if entry.nfe is None:
            nfe = "adaptive"
        else:
            nfe = f"about {entry.nfe:g}" if entry.adaptive else f"{entry.nfe:g}"
        line = (
            f"  {entry.state:<9} {entry.run.label} · {entry.run.samples} samples · NFE {nfe}"
            f" · {entry.batches_on_disk} of {entry.batches} batches on disk · {entry.run.fingerprint}"
        )
        echo(line)
        if entry.stale:
            echo(f"            stale: there is a record, but {entry.stale}")
    workers = f" with {count(report.forecast.at_once, 'worker')}" if report.forecast.at_once > 1 else ""
    expected = f"; about {duration(report.seconds)}{workers} by earlier records" if report.seconds else ""
    if report.unknown and report.seconds:
        expected += f", {count(report.unknown, 'run')} of unknown time aside"
    elif report.unknown:
        expected = "; no earlier record shows how long it takes"
    adaptive = any(entry.adaptive for entry in report.entries)
    aside = ", adaptive solvers aside" if adaptive else ""
    echo(
        f"to run: {report.evaluations:.0f} network evaluations (samples x NFE){aside}{expected}; "
        "nothing was run"
    )
