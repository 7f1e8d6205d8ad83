"""What `bench compare` is given -> runs: a record, a CSV, a results folder, a suite, a fingerprint."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.errors import BenchError, did_you_mean
from bench.reporting.compare.pairing import Figure, Run, Side
from bench.results.store import Store

NEEDED = ("title", "samples", "seed", "status", "metric", "value")
"""Columns that a CSV must have."""


def read_side(text: str, out: Path) -> Side:
    """The runs that ``text`` stands for; names are looked up in the results folder ``out``.

    In this order: a record's .json; a .csv (runs.csv, cells.csv of `bench table`); a results folder; a
    planned suite (``table1``, ``table1/NAME``); a fingerprint or its first 4 or more digits, for that cell
    at all its seeds. `BenchError` where it is none of them or can't be read.
    """
    path, notes = Path(text).expanduser(), list[str]()
    store = Store(out, writes=False, notice=notes.append)
    suite = text.partition("/")[0]
    if path.suffix == ".json":
        runs = [_of_record(_json(path), text)]
    elif path.suffix == ".csv":
        runs = _of_csv(path, notes)
    elif (path / "records").is_dir():
        records = Store(path, writes=False, notice=notes.append).records()
        runs = [_of_record(record, text) for record in records]
    elif suite and (out / "suites" / suite).is_dir():
        runs = _of_suite(text, store, notes)
    elif re.fullmatch("[0-9a-f]{4,}", text):
        runs = _of_fingerprint(text, store)
    else:
        known = [p.name for p in (out / "suites").glob("*")]
        raise BenchError(
            f"{text!r} names no run: give a record's .json, a .csv, a results folder, or of {out} a planned "
            f"suite{did_you_mean(text, known)} or the first 4 digits or more of a fingerprint"
        )
    if not runs:
        raise BenchError(f"{text} has no finished or failed run: bench run makes them")
    return Side(text, _newest(runs, notes), notes)


def _newest(runs: Iterable[Run], notes: list[str]) -> list[Run]:
    """One run per cell and seed. Others of the same title differ in batch size, device, versions, code."""
    found: dict[tuple[str, int], Run] = {}
    passed = 0
    for run in runs:
        key = (run.title, run.samples)
        passed += key in found
        if key not in found or run.created >= found[key].created:
            found[key] = run
    if passed:
        notes.append(f"{passed} older of the same title, samples and seed passed over; fingerprints choose")
    return list(found.values())


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise BenchError(f"there is no {path}") from error
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} can't be read: {error}") from error


def _of_record(record: Any, source: str) -> Run:
    try:
        cost, samples = record.get("cost", {}), int(record["samples"])
        figures = {
            name: Figure(
                value=float(reading["value"]),
                direction=reading.get("direction", ""),
                without=tuple(map(float, reading.get("leave_one_out", ()))),
                note=reading.get("note", ""),
                made=reading.get("with"),
            )
            for name, reading in record.get("metrics", {}).items()
        }
        return Run(
            title=str(record["title"]),
            samples=samples,
            seed=int(record["identity"]["seed"]),
            fingerprint=str(record["fingerprint"]),
            status=str(record["status"]),
            reason=str(record.get("reason", "")),
            created=str(record.get("created", "")),
            figures=_finite(figures),
            nfe=float(cost["nfe"]) if cost else None,
            seconds=float(cost["seconds"]) / samples if cost else None,
            batches=tuple(
                (int(b["size"]), float(b["nfe"]), float(b["seconds"])) for b in record.get("batches", ())
            ),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{source}: not a record of bench run ({type(error).__name__}: {error})") from error


def _finite(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    return {name: figure for name, figure in figures.items() if math.isfinite(figure.value)}


def _of_csv(path: Path, notes: list[str]) -> list[Run]:
    """Runs of a tidy table: a row per cell, seed and metric."""
    try:
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
    runs: dict[str, list[dict[str, str]]] = {}
    unmade = set()
    for row in rows:
        name = row.get("fingerprint") or f"{row['title']} {row['samples']}"
        if row["status"] in ("finished", "failed"):
            runs.setdefault(name, []).append(row)
        else:
            unmade.add(name)
    if unmade - runs.keys():
        notes.append(f"{len(unmade - runs.keys())} of its cells were not run yet")
    return [_of_rows(found, path) for found in runs.values()]


def _of_rows(rows: list[dict[str, str]], path: Path) -> Run:
    first = rows[0]
    try:
        samples = int(float(first["samples"]))
        seconds = _number(first, "seconds")
        figures = {
            row["metric"]: Figure(float(row["value"]), note=row.get("note", ""))
            for row in rows
            if row["value"]
        }
        return Run(
            title=first["title"],
            samples=samples,
            seed=int(float(first["seed"])),
            fingerprint=first.get("fingerprint", ""),
            status=first["status"],
            reason=first.get("reason", ""),
            created=first.get("created", ""),
            figures=_finite(figures),
            nfe=_number(first, "nfe"),
            seconds=None if seconds is None else seconds / samples,
        )
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise BenchError(f"{path}: the row of {first['title'] or 'a cell'!r}: {error}") from error


def _number(row: Mapping[str, str], name: str) -> float | None:
    value = float(row.get(name) or "nan")
    return value if math.isfinite(value) else None


def _of_suite(text: str, store: Store, notes: list[str]) -> list[Run]:
    suite, _, name = text.partition("/")
    plans = {str(plan["name"]): plan for plan in store.read_suites(suite)}
    if not plans:
        raise BenchError(f"{text!r} names no run in {store.root}: give a fingerprint, suite, folder or file")
    if not name and len(plans) != 1:
        names = ", ".join(f"{suite}/{known}" for known in plans) or "none that can be read"
        raise BenchError(f"{suite} was planned {len(plans)} times in {store.root}, give one: {names}")
    if name and name not in plans:
        raise BenchError(f"{suite} has no plan {name!r} in {store.root}{did_you_mean(name, plans)}")
    plan = plans[name] if name else next(iter(plans.values()))
    fingerprints = dict.fromkeys(cell["fingerprint"] for cell in plan["cells"])
    records = [store.read_record(fingerprint) for fingerprint in fingerprints]
    if None in records:
        notes.append(f"{records.count(None)} of its cells were not run yet: bench run --suite {suite}")
    return [_of_record(record, text) for record in records if record is not None]


def _of_fingerprint(text: str, store: Store) -> list[Run]:
    """The record whose name begins so, and those that differ from it in their seed alone."""
    found = sorted(path.stem for path in (store.root / "records").glob(f"{text}*.json"))
    if not found:
        raise BenchError(
            f"no fingerprint in {store.root / 'records'} begins with {text!r}: {store.root / 'runs.csv'} "
            "lists them, --out names another folder"
        )
    if len(found) > 1:
        raise BenchError(f"{text!r} is ambiguous: {', '.join(found)}; give more digits")
    record = store.read_record(found[0])
    if record is None:
        raise BenchError(f"{store.record_path(found[0])} is damaged: made again by the command that made it")
    return [_of_record(r, text) for r in store.records() if _but_seed(r) == _but_seed(record)]


def _but_seed(record: Mapping[str, Any]) -> tuple[Any, ...]:
    title = re.sub(r" · seed \d+$", "", record["title"])
    return title, record["samples"], {k: v for k, v in record["identity"].items() if k != "seed"}
