"""``bench measure``: more metrics of samples that are on disk; nothing is sampled."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.bars import Lines
from bench.cli.console import console
from bench.cli.context import registry_of
from bench.cli.flags import plugin_parameters
from bench.engine.measuring import metric_facts, readings, with_exact
from bench.errors import BenchError, StoreError, did_you_mean
from bench.plan.settings import settings

if TYPE_CHECKING:
    from bench.metrics.context import MetricContext
    from bench.metrics.role import Metric
    from bench.results.store import Store

OUTCOMES = ("measured", "had", "bare", "unfit", "failed")
"""What becomes of a record: measured now, has all metrics, its samples are gone, its task left nothing that
the metrics read, a metric fails."""


@click.command("measure")
@click.option("--metric", multiple=True, required=True, metavar="NAME", help="Metric to take; may repeat.")
@click.option("--suite", metavar="NAME", help="The cells of that suite alone.")
@click.option("--checkpoint", metavar="NAME", help="Samples of that checkpoint alone.")
@click.option("-P", "parameters", multiple=True, metavar="metric.NAME=VALUE", help="Parameter of a metric.")
@click.option("--extrapolate", is_flag=True, default=None, help="Short for -P metric.extrapolate=true.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--out", type=click.Path(path_type=Path), help="Results folder.")
def measure_command(
    metric: tuple[str, ...],
    suite: str | None,
    checkpoint: str | None,
    parameters: tuple[str, ...],
    extrapolate: bool | None,
    device: str | None,
    out: Path | None,
) -> int:
    """Take more metrics of samples that are on disk; nothing is sampled.

    Every finished record gains the metric; one that has it, with the same parameters and reference
    data, is left alone. Exit status: 0 done, 1 a metric failed, 2 a mistake in the command, 130 stopped.
    """
    found = registry_of(click.get_current_context())
    for problem in found.problems:
        click.echo(f"bench: {problem.message}", err=True)
    own = plugin_parameters(parameters, {"metric.extrapolate": extrapolate})
    for role in own:
        if role != "metric":
            raise BenchError(f"-P takes metric.NAME=VALUE here, not a parameter of a {role}")
    given = {"device": device, "out": out}
    flags = {"metric": list(dict.fromkeys(metric)), "parameters": own}
    chosen, _ = settings(flags | {k: v for k, v in given.items() if v is not None})
    from bench.plan.planning import build_metrics, metric_context

    metrics = list(build_metrics(found, list(flags["metric"]), chosen.parameters.get("metric", {})))
    context = metric_context(chosen, found, Lines())
    wanted = {one.label: metric_facts(one, context) for one in metrics}
    root = chosen.out.expanduser()
    if not (root / "records").is_dir():
        raise BenchError(f"there are no results in {root}: make some by bench run, or choose another --out")
    from bench.results.store import Store

    said: list[str] = []
    store = Store(root, notice=said.append)
    manifests = _manifests(store, suite, said) if suite is not None else []
    records = _selected(store, manifests if suite is not None else None, checkpoint)
    screen = _Screen(len(records))
    counts = dict.fromkeys(OUTCOMES, 0)
    try:
        with screen.live():
            for line in said:
                screen.notice(line)
            store.notice = screen.notice
            for record in records:
                screen.at(record["title"])
                counts[_measured(record, metrics, wanted, store, context, screen)] += 1
    finally:
        for manifest in manifests:
            _list_metrics(store, manifest, wanted)
        store.write_csv()
    screen.summary(counts, list(wanted))
    return int(counts["failed"] > 0)


def batches(record: dict[str, Any]) -> list[tuple[int, int]]:
    """(index, size) of every batch of a record's samples, as `bench.results.run_spec.RunSpec.batches`."""
    size = record["identity"]["batch_size"]
    full, rest = divmod(record["samples"], size)
    return [(i, size) for i in range(full)] + ([(full, rest)] if rest else [])


def _manifests(store: Store, suite: str, said: list[str]) -> list[dict[str, Any]]:
    found = store.read_suites(suite)
    if not found:
        folder = store.root / "suites"
        known = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        nothing = f"no run of suite {suite!r} in {store.root}{did_you_mean(suite, known)}"
        raise BenchError(said[0] if said else f"{nothing}: bench run --suite {suite} comes first")
    return found


def _selected(
    store: Store, manifests: list[dict[str, Any]] | None, checkpoint: str | None
) -> list[dict[str, Any]]:
    """The finished records that were asked for."""
    records = [r for r in store.records() if r["status"] == "finished"]
    if not records:
        raise BenchError(f"there is no finished record in {store.root}: make some by bench run")
    if manifests is not None:
        asked = {cell["fingerprint"] for manifest in manifests for cell in manifest["cells"]}
        records = [r for r in records if r["fingerprint"] in asked]
        if not records:
            raise BenchError(f"no cell of suite {manifests[0]['suite']} is finished in {store.root}")
    if checkpoint is None:
        return records
    names = {r["identity"]["checkpoint"]["name"] for r in records}
    if checkpoint not in names:
        raise BenchError(f"no finished record of checkpoint {checkpoint!r}{did_you_mean(checkpoint, names)}")
    return [r for r in records if r["identity"]["checkpoint"]["name"] == checkpoint]


def _measured(
    record: dict[str, Any],
    metrics: Sequence[Metric],
    wanted: dict[str, Any],
    store: Store,
    context: MetricContext,
    screen: _Screen,
) -> str:
    """Take what a record lacks and write it anew; which of `OUTCOMES` came of it."""

    left = record.get("outputs", ["images"])
    fit = [m for m in metrics if set(m.inputs) <= set(left)]

    def lacking(held: dict[str, Any]) -> list[Metric]:
        return [m for m in fit if held["metrics"].get(m.label, {}).get("with") != wanted[m.label]]

    def bare(held: dict[str, Any]) -> bool:
        key = held.get("key")
        return key is None or not all(store.batch_path(key, *batch).exists() for batch in batches(held))

    if not fit:
        return "unfit"
    if not lacking(record):
        return "had"
    if bare(record):
        return "bare"
    fingerprint, title = record["fingerprint"], record["title"]
    with store.locked(fingerprint, lambda: screen.waiting(title)):
        now = store.read_record(fingerprint)
        if now is None or now["status"] != "finished":  # another process is making it anew
            return "bare"
        taken, wrong = _take(lacking(now), now, store, context)
        if wrong and bare(now):  # a batch was damaged, which has been said
            return "bare"
        if taken:
            now["metrics"] |= taken
            store.write_record(now)
        if wrong:
            log = store.write_log(fingerprint, "\n".join(_traceback(e) for e in wrong.values()))
            for name, error in wrong.items():
                screen.failed(title, name, error, log)
            return "failed"
    screen.measured(title, taken)
    return "measured" if taken else "had"


def _take(
    metrics: Sequence[Metric], record: dict[str, Any], store: Store, context: MetricContext
) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Readings by name, and what was wrong with the metrics that failed."""
    exact = record.get("exact", {})
    try:
        found = readings(metrics, store, record["key"], batches(record), context)
        return with_exact(found, exact), {}
    except StoreError:
        raise
    except Exception as error:
        if len(metrics) == 1:
            return {}, {metrics[0].label: error}
    # one of several failed: one by one, to have the others
    taken: dict[str, Any] = {}
    wrong: dict[str, Exception] = {}
    for metric in metrics:
        one, fault = _take([metric], record, store, context)
        taken |= one
        wrong |= fault
    return taken, wrong


def _traceback(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _list_metrics(store: Store, manifest: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Name in a suite's manifest the metrics that a record of it has by now."""
    records = [store.read_record(cell["fingerprint"]) for cell in manifest["cells"]]
    held = {name for record in records if record is not None for name in record.get("metrics", {})}
    metrics = dict.fromkeys([*manifest["metrics"], *(name for name in wanted if name in held)])
    if list(metrics) != manifest["metrics"]:
        store.write_suite(manifest | {"metrics": list(metrics)})


class _Screen:
    """A live line for the record at work, a lasting one for each that was measured, the counts."""

    def __init__(self, records: int) -> None:
        self.records, self.begun = records, 0
        self.notes: dict[str, None] = {}
        self.console = console()
        self.status = self.console.status("") if self.console.is_terminal else None

    @contextmanager
    def live(self) -> Iterator[None]:
        """While records are worked on."""
        if self.status is None:
            yield
            return
        with self.status:
            yield

    def at(self, title: str) -> None:
        """A record begins."""
        self.begun += 1
        if self.status is not None:
            self.status.update(_escaped(f"record {self.begun} of {self.records} · {title} · measuring"))

    def waiting(self, title: str) -> None:
        """Another process holds the record."""
        self._line(_escaped(f"{title} · waiting for another process that is at work on it"))

    def notice(self, text: str) -> None:
        """What was found amiss in the store."""
        self._line(f"[yellow]notice[/]  {_escaped(text)}")

    def measured(self, title: str, taken: dict[str, Any]) -> None:
        """A record has its metrics."""
        from bench.reporting.summary import notes

        values = ", ".join(
            f"{name} {reading['value']:.4g}{' †' if reading['note'] else ''}"
            for name, reading in taken.items()
        )
        self.notes |= dict.fromkeys(notes([{"status": "finished", "metrics": taken}]))
        self._line(f"[green]done   [/] {_escaped(title)}: {_escaped(values)}")

    def failed(self, title: str, name: str, error: Exception, log: Path) -> None:
        """A metric failed on a record."""
        said = " ".join(f"{error}".split())
        reason = said if isinstance(error, BenchError) else f"{type(error).__name__}: {said}"
        self._line(f"[red]failed[/]  {_escaped(f'{title}: {name}: {reason}, log {log}')}")

    def summary(self, counts: dict[str, int], metrics: list[str]) -> None:
        """What the daggers stand for, and how many records came to what."""
        for note in self.notes:
            self._line(_escaped(note))
        self._line(
            f"{counts['measured']} measured, {counts['had']} had it already, "
            f"{counts['bare']} without samples on disk, {counts['failed']} failed"
            + (f", {counts['unfit']} of tasks that leave nothing to measure so" if counts["unfit"] else "")
        )
        if counts["bare"]:
            flags = " ".join(f"--metric {name}" for name in metrics)
            self._line(
                _escaped(f"  to sample those again: the command that made them with {flags}, without --prune")
            )

    def _line(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
