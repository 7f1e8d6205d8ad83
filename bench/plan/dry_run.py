"""Dry run of a plan: which runs have records, why a record is stale, and the time of the other runs."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bench.plan.contexts import MetricContexts
from bench.plan.forecast import Forecast
from bench.plan.measured import lacking_metrics
from bench.plan.planning import Plan
from bench.results.identity import Identity
from bench.results.record import Record
from bench.results.run_spec import RunSpec, UnplannedRun, companion_fingerprints
from bench.results.store import Store
from bench.types import JSONObject

State = Literal["to run", "measure", "finished", "failed"]


@dataclasses.dataclass(frozen=True)
class DryRunEntry:
    """One run of the plan.

    ``nfe`` is exact, or for an ``adaptive`` solver an estimate from earlier records, or None where there are
    none. ``stale`` says how the nearest record of the same settings differs; it is empty without such a
    record.
    """

    run: RunSpec | UnplannedRun
    state: State
    nfe: float | None
    adaptive: bool
    batches_on_disk: int
    batches: int
    stale: str

    def plain(self) -> JSONObject:
        """The entry as JSON data."""
        facts: JSONObject = {"fingerprint": self.run.fingerprint, "label": self.run.label}
        facts["samples"] = self.run.samples
        names = ("state", "nfe", "adaptive", "batches", "batches_on_disk", "stale")
        return facts | {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True)
class DryRun:
    """All runs, and the total work that is left.

    ``evaluations`` are samples x NFE; ``forecast`` knows the time of the runs that are left, by the pace of
    earlier records.
    """

    entries: tuple[DryRunEntry, ...]
    evaluations: float
    forecast: Forecast

    @property
    def seconds(self) -> float:
        """Seconds of all runs whose time is known, with as many batches at a time as the executor has."""
        return self.forecast.rest()[0] / self.forecast.at_once

    @property
    def unknown(self) -> int:
        """Number of runs whose time is unknown."""
        return self.forecast.rest()[1]

    def plain(self) -> JSONObject:
        """The report as JSON data."""
        totals = {name: getattr(self, name) for name in ("evaluations", "seconds", "unknown")}
        return {"runs": [entry.plain() for entry in self.entries], **totals}


def dry_run(plan: Plan, store: Store, contexts: MetricContexts, rerun: str, at_once: int = 1) -> DryRun:
    """What the execution of the plan, with ``at_once`` batches at a time, would do. Nothing is run."""
    records = store.records()
    forecast = Forecast(len(plan.companions) + len(plan.runs), records, at_once)
    entries: list[DryRunEntry] = []
    evaluations = 0.0
    everything = [*plan.companions, *plan.runs]
    facts = [_entry(run, store, contexts, records) for run in everything]
    # what the user did not ask for is made once
    modes = ["failed"] * len(plan.companions) + [rerun] * len(plan.runs)
    to_do = [_is_left(entry, mode) for (entry, _), mode in zip(facts, modes, strict=True)]
    read = companion_fingerprints([run for run, is_left in zip(everything, to_do, strict=True) if is_left])
    for run, (entry, on_disk), mode, is_left in zip(everything, facts, modes, to_do, strict=True):
        pruned = entry.state == "finished" and run.fingerprint in read and on_disk < run.samples
        entry = dataclasses.replace(entry, state="to run") if pruned else entry
        entries.append(entry)
        # a run may stand at several places of a table
        if not (is_left or pruned) or isinstance(run, UnplannedRun) or run.fingerprint in forecast:
            continue
        samples = run.samples - (0 if mode == "all" else on_disk)
        forecast.add(run, samples, entry.nfe)
        evaluations += (entry.nfe or 0) * samples
    return DryRun(tuple(entries), evaluations, forecast)


def _is_left(entry: DryRunEntry, rerun: str) -> bool:
    """Whether the execution samples or measures the run."""
    again = rerun == "all" or (entry.state == "failed" and rerun == "failed")
    return again or entry.state in ("to run", "measure")


def _entry(
    run: RunSpec | UnplannedRun, store: Store, contexts: MetricContexts, records: Sequence[Record]
) -> tuple[DryRunEntry, int]:
    """The entry of a run, and the number of its samples on disk that it can use."""
    anew = isinstance(run, RunSpec) and not run.cacheable
    record = None if anew else store.read_record(run.fingerprint)
    state: State = "to run" if record is None else record.status
    stale = _stale(run.identity, run.samples, records) if record is None and not anew else ""
    if isinstance(run, UnplannedRun):
        return DryRunEntry(run, state, None, False, 0, 0, stale), 0
    if record is not None and state == "finished" and _lacks_metrics(run, record, contexts):
        state = "measure"
    marks = bytearray(run.batch_count) if anew else store.stored_batches(run.key, run.batches())
    adaptive = run.planned_nfe is None
    nfe = _recorded_nfe(run.identity, records) if adaptive else run.planned_nfe
    entry = DryRunEntry(run, state, nfe, adaptive, marks.count(1), run.batch_count, stale)
    return entry, run.batches().marked_samples(marks)


def _lacks_metrics(run: RunSpec, record: Record, contexts: MetricContexts) -> bool:
    try:
        return bool(lacking_metrics(run, record, contexts.on(run.device)))
    except Exception:  # a metric's own, which the run reports
        return True


def _recorded_nfe(identity: Identity, records: Sequence[Record]) -> float | None:
    """The NFE of a solver on the same checkpoint in earlier records; None where there are none."""

    def settings(one: Identity) -> tuple[Any, ...]:
        plugins = one.plugins()
        parts = [plugins.get(role) for role in ("task", "sde", "solver")]
        named = [(part.name, part.parameters) if part is not None else None for part in parts]
        return (one.checkpoint.name, one.denoise, *named)

    values = [
        record.cost.nfe
        for record in records
        if record.cost is not None and settings(record.identity) == settings(identity)
    ]
    return statistics.median(values) if values else None


def _stale(identity: Identity, samples: int, records: Sequence[Record]) -> str:
    """How the nearest record of the same cell and seed differs; empty if there is none."""
    cell = identity.cell(samples)
    current = _flat(identity.model_dump(mode="json"))
    differences: list[list[str]] = []
    for record in records:
        if record.cell == cell and record.seed == identity.seed:
            before = _flat(record.identity.model_dump(mode="json"))
            keys = sorted(k for k in current.keys() | before.keys() if current.get(k) != before.get(k))
            differences.append([_difference(k, before.get(k), current.get(k)) for k in keys])
    return "; ".join(sorted(differences, key=len)[0]) if differences else ""


def _difference(key: str, before: object, current: object) -> str:
    if key.endswith("code") or key.endswith("sha256"):
        thing = key.removesuffix(".code").replace("code", "the core")
        return f"{thing} has changed since"
    return f"{key} was {before}, not {current}"


def _flat(plain: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in plain.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
