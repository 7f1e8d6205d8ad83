"""Recorded runs as ``bench list runs`` and ``bench show FINGERPRINT`` print them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.console import console
from bench.errors import BenchError, printable

if TYPE_CHECKING:
    from bench.plugins.registry import Registry
    from bench.reporting.run_facts import Companionship, MetricFacts, RunFacts
    from bench.results.identity import Identity
    from bench.results.record import Record
    from bench.results.store import Store
    from bench.types import JSONObject


WIDE = 100
"""Characters of a terminal from which a run is one line of the list."""


def _store(out: Path | None) -> Store:
    from bench.plan.settings import results_folder
    from bench.reporting.progress import Display
    from bench.results.store import Store

    return Store(results_folder(out), writes=False, emit=Display(console(stderr=True)))


def recorded_runs(out: Path | None) -> list[RunFacts]:
    """The facts of every recorded run of a results folder."""
    from bench.reporting.matching import Matcher
    from bench.reporting.published_figures import all_figures
    from bench.reporting.run_facts import run_facts

    store = _store(out)
    if out is not None and not store.root.is_dir():
        raise BenchError(f"there is no results folder {out}")
    matcher = Matcher(all_figures())
    return [run_facts(record, store, matcher) for record in store.records()]


def print_runs(runs: Sequence[RunFacts]) -> None:
    """Print a line per run; on a terminal narrower than `WIDE` some short lines per run."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    screen = console()
    wide = screen.width >= WIDE
    table = Table(box=box.SIMPLE_HEAD if wide else None, pad_edge=False, show_header=wide)
    columns = ("fingerprint", "status", "run", "samples", "values", "made")
    for column in columns if wide else ("runs",):
        table.add_column(column, overflow="fold", no_wrap=column == "fingerprint")
    for run in runs:
        values = "  ".join(f"{label} {metric.value:.4g}" for label, metric in run.metrics.items())
        title = f"{run.title} · seed {run.seed}"
        texts = (run.fingerprint, run.status, title, str(run.samples), values, run.created[:10])
        if wide:
            table.add_row(*(escape(printable(text, 1000)) for text in texts))
            continue
        facts = (run.fingerprint, run.status, f"n {run.samples}", run.created[:10])
        for text in filter(None, ("  ".join(facts), title, values)):
            table.add_row(escape(printable(text, 1000)))
        table.add_row("")
    screen.print(table)
    screen.print("bench show FINGERPRINT (first digits suffice) says how to make one again", style="dim")


@dataclasses.dataclass(frozen=True)
class ShownRun:
    """Everything about a recorded run.

    ``commands`` make it again, or ``no_command`` says why none does; with ``changes`` since, they make a new
    run. ``companions`` are the runs that its metrics read, ``read_by`` those whose metrics read it.
    """

    record: Record
    facts: RunFacts
    commands: list[list[str]]
    no_command: str | None
    changes: list[str]
    companions: list[Companionship]
    read_by: list[Companionship]

    def plain(self) -> JSONObject:
        """The run as JSON data."""
        return {
            "kind": "runs",
            **self.facts.plain(),
            "commands": [list(words) for words in self.commands],
            "no_command": self.no_command,
            "changes": list(self.changes),
            "companions": [dataclasses.asdict(one) for one in self.companions],
            "read_by": [dataclasses.asdict(one) for one in self.read_by],
            "identity": self.record.identity.model_dump(mode="json"),
            "provenance": self.record.provenance.model_dump(mode="json"),
        }


def show_run(digits: str, out: Path | None, registry: Registry, *, required: bool) -> ShownRun | None:
    """The run whose fingerprint begins with these digits; None for none, unless ``required``.

    Raises:
        BenchError: Several fingerprints begin so, or the record can't be read.
    """
    store = _store(out)
    if not required and not store.matching(digits):
        return None
    from bench.reporting.matching import Matcher
    from bench.reporting.published_figures import all_figures
    from bench.reporting.reproduction import changes, commands
    from bench.reporting.run_facts import companionships, run_facts

    record = store.find_record(digits)
    facts = run_facts(record, store, Matcher(all_figures(), registry))
    since = changes(record.identity, registry)
    both = companionships(record, store)
    try:
        return ShownRun(record, facts, commands(record, registry, store.root), None, since, *both)
    except BenchError as error:
        return ShownRun(record, facts, [], str(error), since, *both)


def run_text(run: ShownRun) -> str:
    """A run for people."""
    from bench.reporting.reproduction import quoted
    from bench.reporting.text import count, with_most

    facts = run.facts
    lines = [f"run {facts.fingerprint}, {facts.status}, made {facts.created}"]
    lines += [f"  {facts.title} · seed {facts.seed} · {count(facts.samples, 'sample')}"]
    lines += [f"  {facts.reason}"] if facts.reason else []
    readers = [one.metric for one in run.read_by]
    lines += [
        f"  a companion: {metric} of {count(readers.count(metric), 'run')} here reads its samples"
        for metric in dict.fromkeys(readers)
    ]
    lines += [""]
    for label, metric in facts.metrics.items():
        lines.append(f"  {label}: {_value_text(metric)}")
        lines += [
            f"    beside its companion {one.name}: {one.fingerprint or 'no record here'}"
            for one in run.companions
            if one.metric == label
        ]
    if facts.nfe is not None and facts.seconds is not None:
        calls = with_most(f"{facts.nfe:g}", facts.nfe_max)
        lines.append(f"  NFE per sample: {calls}, {facts.seconds:.4g} s in all")
    lines += ["", "made by"]
    lines += [f"  {run.no_command}"] if run.no_command else []
    lines += [f"  {quoted(words)}" for words in run.commands]
    if run.changes and run.commands:
        lines.append(f"  which makes a new run now: {'; '.join(run.changes)}")
    lines += ["", f"record   {facts.record}"]
    place = "not on disk" if facts.samples_folder is None else facts.samples_folder
    lines.append(f"samples  {place} ({facts.batches_on_disk} of {count(facts.batches, 'batch file')})")
    lines += [f"preview  {facts.preview}"] if facts.preview else []
    lines += [f"log      {facts.log}"] if facts.log else []
    provenance = run.record.provenance.model_dump(mode="json")
    versions = [f"{key} {value}" for key, value in provenance.items() if value not in (None, "", False)]
    lines += ["", *_identity_lines(run.record.identity), "", f"with {', '.join(versions)}"]
    return "\n".join(printable(line, None) for line in lines)


def _value_text(metric: MetricFacts) -> str:
    text = f"{metric.value:.6g}"
    text += "" if metric.error is None else f" ± {metric.error:.2g}"
    text += "" if metric.exact is None else f", exact {metric.exact:.6g}"
    text += "" if metric.limit is None else f", limit at tolerance 0 {metric.limit:.6g}"
    return f"{text}, n {metric.n}" + (f" † {metric.note}" if metric.note else "")


def _identity_lines(identity: Identity) -> list[str]:
    """A line per part: checkpoint and plugins with what decides them, then the settings."""
    checkpoint, data, plugins = identity.checkpoint, identity.data, identity.plugins()
    lines = [("checkpoint", f"{checkpoint.name}  {checkpoint.convention}  sha256 {checkpoint.sha256}")]
    for role, plugin in plugins.items():
        parameters = [f"{name}={value}" for name, value in plugin.parameters.items()]
        further = plugin.provenance.items()
        parameters += [f"{key}: {value}" for key, value in further if isinstance(value, str)]
        origin = f"from {plugin.distribution} {plugin.version}, code {plugin.code}"
        lines.append((role, "  ".join([plugin.name, *parameters, origin])))
    if data is not None:
        lines.append(("data", f"{data.kind}  sha256 {data.sha256}" if data.sha256 else data.kind))
    settings = identity.model_dump(mode="json", exclude={"checkpoint", "data", *plugins}, exclude_none=True)
    lines += [
        (key, value if isinstance(value, str) else json.dumps(value)) for key, value in settings.items()
    ]
    return [f"  {key:<12} {text}" for key, text in lines]
