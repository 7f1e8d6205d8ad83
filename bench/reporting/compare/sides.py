"""The runs of one side of a comparison: from a record, a CSV, a results folder, a suite, a fingerprint."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from bench.errors import BenchError, did_you_mean
from bench.events import Event, Notice
from bench.files import check_regular, inside, is_safe_name, read_file, user_path
from bench.metrics.role import ValueKind
from bench.reporting.basis import Basis
from bench.reporting.compare.pairing import Run, RunBatch, RunValue, Side
from bench.results.identity import MAX_STORED, digest
from bench.results.record import Record
from bench.results.store import Store

NEEDED = ("cell", "title", "samples", "seed", "status", "metric", "value")
"""Columns that a CSV must have."""


def read_side(source: str, out: Path) -> Side:
    """The runs that a name stands for.

    Args:
        source: In this order: a record's .json; a .csv (runs.csv, cells.csv of `bench table`); a results
            folder; a planned suite (``table1``, ``table1/NAME``); a fingerprint or its first 4 or more
            digits, for that cell at all its seeds.
        out: The results folder in which suites and fingerprints are looked up.

    Raises:
        BenchError: The name stands for nothing, or its file can't be read.
    """
    if not source:
        raise BenchError("an empty name is no run: give a record, .csv, results folder, suite or fingerprint")
    path, notes = user_path(source), list[str]()
    store = _store(out, notes)
    suite = source.partition("/")[0]
    if path.suffix == ".json":
        runs = [run_of(_read_record(path))]
    elif path.suffix == ".csv":
        runs = _runs_of_csv(path, notes)
    elif (path / "records").is_dir():
        # runs that metrics of others read have no metrics of their own
        records = [one for one in _store(path, notes).records() if one.metrics or one.status == "failed"]
        runs = [run_of(record) for record in records]
    elif is_safe_name(suite) and inside(out / "suites", suite).is_dir():
        runs = _runs_of_suite(source, store, notes)
    elif re.fullmatch("[0-9a-f]{4,}", source):
        runs = _runs_of_fingerprint(source, store)
    else:
        known = [p.name for p in (out / "suites").glob("*")]
        raise BenchError(
            f"{source!r} names no run: give a record's .json, a .csv or a results folder; or a suite that "
            f"was run into {out}{did_you_mean(source, known)}, or 4 or more first digits of a "
            "fingerprint there"
        )
    return _side(source, runs, notes)


def records_side(records: Iterable[Record], name: str) -> Side:
    """The runs of records in memory.

    Raises:
        BenchError: There are none.
    """
    return _side(name, [run_of(record) for record in records], [])


def _store(folder: Path, notes: list[str]) -> Store:
    """A store to read from; ``notes`` collects what is damaged."""

    def emit(event: Event) -> None:
        if isinstance(event, Notice):
            notes.append(event.text)

    return Store(folder, writes=False, emit=emit)


def _side(name: str, runs: Iterable[Run], notes: list[str]) -> Side:
    """A side with the newest run of each cell and seed."""
    newest: dict[tuple[str, int], Run] = {}
    ignored = 0
    for run in runs:
        # runs of one cell and seed differ in batch size, device, versions or code
        key = (run.cell, run.seed)
        ignored += key in newest
        if key not in newest or run.created >= newest[key].created:
            newest[key] = run
    if not newest:
        raise BenchError(f"{name} has no finished or failed run: bench run makes them")
    if ignored:
        notes.append(f"{ignored} older of the same cell and seed ignored; a fingerprint selects one")
    return Side(name, list(newest.values()), notes)


def _read_record(path: Path) -> Record:
    try:
        return Record.from_json(read_file(path, MAX_STORED))
    except FileNotFoundError as error:
        raise BenchError(f"there is no {path}") from error
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} can't be read as a record of bench run: {error}") from error


def run_of(record: Record) -> Run:
    """A record as a side's run."""
    cost, identity = record.cost, record.identity
    data = identity.data
    return Run(
        cell=record.cell,
        title=record.title,
        samples=record.samples,
        seed=record.seed,
        fingerprint=record.fingerprint,
        status=record.status,
        reason=record.reason,
        created=record.created,
        values={
            label: RunValue(
                value=metric.value,
                direction=metric.direction,
                kind=metric.value_kind,
                error=metric.error,
                without=metric.leave_one_out,
                note=metric.note,
                basis=Basis.of(metric),
            )
            for label, metric in record.metrics.items()
        },
        nfe=None if cost is None else cost.nfe,
        seconds=None if cost is None else cost.seconds / record.samples,
        batches=tuple(RunBatch(b.size, b.nfe, b.seconds) for b in record.batches),
        batch_size=identity.batch_size,
        device=identity.device,
        precision=_precision(identity.precision, compiled=identity.compile),
        images=digest([identity.checkpoint.shape, None if data is None else [data.kind, data.sha256]]),
    )


def _precision(name: str, *, compiled: bool) -> str:
    return f"{name}, compiled" if compiled else name


def _runs_of_csv(path: Path, notes: list[str]) -> list[Run]:
    """Runs of a tidy table: a row per run and metric."""
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise BenchError(
                    f"{path} has no column {missing[0]!r}: give a runs.csv (any bench run makes it anew) or "
                    "the cells.csv of bench table"
                )
            rows = list(reader)
    except FileNotFoundError as error:
        raise BenchError(f"there is no {path}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"{path} can't be read: {error}") from error
    by_run: dict[tuple[str, ...], list[dict[str, str]]] = {}
    missing_runs = set()
    for row in rows:
        # a CSV of another origin may lack fingerprints
        key = (row["fingerprint"],) if row.get("fingerprint") else (row["cell"], row["seed"])
        if row["status"] in ("finished", "failed"):
            by_run.setdefault(key, []).append(row)
        else:
            missing_runs.add(key)
    if missing_runs - by_run.keys():
        notes.append(f"{len(missing_runs - by_run.keys())} of its cells were not run yet")
    return [_run_of_rows(rows_of_run, path) for rows_of_run in by_run.values()]


def _run_of_rows(rows: list[dict[str, str]], path: Path) -> Run:
    """A run of its rows, one per metric."""
    first = rows[0]
    status: Literal["finished", "failed"] = "failed" if first["status"] == "failed" else "finished"
    try:
        samples = int(float(first["samples"]))
        seconds = _number(first, "seconds")
        values = {row["metric"]: _value_of_row(row) for row in rows}
        batch_size = _number(first, "batch_size")
        return Run(
            cell=first["cell"],
            title=first["title"] or first["cell"],
            samples=samples,
            seed=int(float(first["seed"])),
            fingerprint=first.get("fingerprint") or "",
            status=status,
            reason=first.get("reason") or "",
            created=first.get("created") or "",
            values={name: value for name, value in values.items() if value is not None},
            nfe=_number(first, "nfe"),
            seconds=None if seconds is None else seconds / samples,
            batch_size=None if batch_size is None else min(samples, int(batch_size)),
            device=first.get("device") or "",
            precision=_precision(
                first.get("precision") or "", compiled=first.get("compile", "").lower() == "true"
            ),
        )
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise BenchError(f"{path}: the row of {first['title'] or 'a cell'!r}: {error}") from error


def _value_of_row(row: Mapping[str, str]) -> RunValue | None:
    """A row's value of its metric; None where it has none."""
    value, direction, kind = _number(row, "value"), row.get("direction") or "", row.get("value_kind") or ""
    if value is None:
        return None
    return RunValue(
        value,
        direction=direction if direction in ("lower", "higher") else "",  # type: ignore[arg-type]
        kind=kind if kind in get_args(ValueKind) else "",  # type: ignore[arg-type]
        error=_number(row, "error"),
        note=row.get("note") or "",
    )


def _number(row: Mapping[str, str], name: str) -> float | None:
    value = float(row.get(name) or "nan")
    return value if math.isfinite(value) else None


def _runs_of_suite(source: str, store: Store, notes: list[str]) -> list[Run]:
    suite, _, name = source.partition("/")
    plans = {plan.name: plan for plan in store.read_suites(suite)}
    if not plans:
        raise BenchError(
            f"{source!r} names no run in {store.root}: give a fingerprint, suite, folder or file"
        )
    if not name and len(plans) != 1:
        names = ", ".join(f"{suite}/{known}" for known in plans)
        raise BenchError(f"{suite} was planned {len(plans)} times in {store.root}, give one: {names}")
    if name and name not in plans:
        raise BenchError(f"{suite} has no plan {name!r} in {store.root}{did_you_mean(name, plans)}")
    plan = plans[name] if name else next(iter(plans.values()))
    fingerprints = dict.fromkeys(run.fingerprint for run in plan.cells)
    records = [store.read_record(fingerprint) for fingerprint in fingerprints]
    if None in records:
        notes.append(f"{records.count(None)} of its cells were not run yet: bench run --suite {suite}")
    return [run_of(record) for record in records if record is not None]


def _runs_of_fingerprint(prefix: str, store: Store) -> list[Run]:
    """The record whose name has that prefix, and those that differ from it in the seed alone."""
    record = store.find_record(prefix)
    return [run_of(other) for other in store.records() if _differ_in_seed_alone(other, record)]


def _differ_in_seed_alone(one: Record, other: Record) -> bool:
    """Whether two records are of equal settings, devices, versions and code, whatever their seeds."""
    same_seed = one.identity.model_copy(update={"seed": other.seed})
    return one.samples == other.samples and same_seed == other.identity
