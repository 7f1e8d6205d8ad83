"""Dry run of a plan: which runs have records, why a record is stale, and the time of the other runs."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bench.plan.contexts import MetricContexts
from bench.plan.measured import lacking_metrics
from bench.plan.planning import Plan
from bench.results.identity import Identity
from bench.results.record import Record
from bench.results.run_spec import RunSpec, UnplannedRun
from bench.results.store import Store
from bench.types import JSONObject

State = Literal["to run", "measure", "finished", "failed"]
PaceKey = tuple[Any, ...]


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

    ``evaluations`` are samples x NFE; ``seconds`` follow from the pace of earlier records; ``unknown`` is the
    number of runs whose time is unknown.
    """

    entries: tuple[DryRunEntry, ...]
    evaluations: float
    seconds: float
    unknown: int

    def plain(self) -> JSONObject:
        """The report as JSON data."""
        totals = {name: getattr(self, name) for name in ("evaluations", "seconds", "unknown")}
        return {"runs": [entry.plain() for entry in self.entries], **totals}


def dry_run(plan: Plan, store: Store, contexts: MetricContexts, rerun: str) -> DryRun:
    """What the execution of the plan would do. Nothing is run."""
    records = store.records()
    paces = _paces(records)
    entries: list[DryRunEntry] = []
    evaluations, seconds, unknown = 0.0, 0.0, 0
    for run in (*plan.companions, *plan.runs):
        entry, on_disk = _entry(run, store, contexts, records)
        entries.append(entry)
        todo = entry.state in ("to run", "measure") or rerun == "all"
        todo = todo or (entry.state == "failed" and rerun == "failed")
        if not todo or isinstance(run, UnplannedRun):
            continue
        samples = run.samples - (0 if rerun == "all" else on_disk)
        key = _pace_key(run.identity)
        pace = paces.get(key) or paces.get(key[:4])
        evaluations += (entry.nfe or 0) * samples
        if entry.nfe is None or pace is None:
            unknown += 1
        else:
            seconds += entry.nfe * samples * pace
    return DryRun(tuple(entries), evaluations, seconds, unknown)


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
    if record is not None and state == "finished" and lacking_metrics(run, record, contexts.on(run.device)):
        state = "measure"
    marks = bytearray(run.batch_count) if anew else store.stored_batches(run.key, run.batches())
    adaptive = run.planned_nfe is None
    nfe = _recorded_nfe(run.identity, records) if adaptive else run.planned_nfe
    entry = DryRunEntry(run, state, nfe, adaptive, marks.count(1), run.batch_count, stale)
    return entry, run.batches().marked_samples(marks)


def _pace_key(identity: Identity) -> PaceKey:
    plugins = identity.plugins()
    names = [
        plugins[role].name if role in plugins else None
        for role in ("task", "predictor", "corrector", "solver")
    ]
    return (identity.checkpoint.name, identity.device, identity.precision, *names)


def _paces(records: Sequence[Record]) -> dict[PaceKey, float]:
    """Seconds per network evaluation of one sample, by checkpoint, device, precision, task and sampler.

    Only records with at least half of the most evaluations per batch count: in small batches, work that is
    done once takes most of the time.
    """
    paces: dict[PaceKey, list[tuple[float, float]]] = {}
    for record in records:
        if record.status == "finished" and record.cost is not None and record.cost.nfe > 0:
            evaluations = record.samples * record.cost.nfe
            batch = min(record.samples, record.identity.batch_size) * record.cost.nfe
            key = _pace_key(record.identity)
            for part in (key, key[:4]):
                paces.setdefault(part, []).append((batch, record.cost.seconds / evaluations))
    return {
        key: statistics.median(pace for batch, pace in pairs if 2 * batch >= max(pairs)[0])
        for key, pairs in paces.items()
    }


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
