"""``bench run --dry-run``: what would run, what is cached, why a cell is stale, what it will take."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from bench.cli.console import count, duration
from bench.engine.loop import missing_metrics

if TYPE_CHECKING:
    from bench.metrics.context import MetricContext
    from bench.results.run_spec import RunSpec
    from bench.results.store import Store


def dry_run_report(cells: list[RunSpec], store: Store, rerun: str, context: MetricContext) -> None:
    """Print the plan, cell by cell, and what is to be done in all; nothing is run."""
    records = store.records()
    paces = _paces(records)
    total, seconds, unknown = 0.0, 0.0, 0
    for cell in cells:
        record = store.read_record(cell.fingerprint)
        there = sum(store.batch_path(cell.key, i, size).exists() for i, size in cell.batches)
        state = record["status"] if record else "to run"
        if record is not None and state == "finished" and missing_metrics(cell, record, context):
            state = "measure"
        runs = state in ("to run", "measure") or rerun == "all" or (state == "failed" and rerun == "failed")
        adaptive = cell.planned_nfe is None
        nfe = _known_nfe(cell, records) if adaptive else cell.planned_nfe
        left = sum(
            size
            for i, size in cell.batches
            if rerun == "all" or not store.batch_path(cell.key, i, size).exists()
        )
        if runs:
            pace = paces.get(_pace_key(cell.identity)) or paces.get(_pace_key(cell.identity)[:4])
            total += (nfe or 0) * left
            unknown += nfe is None or pace is None
            seconds += 0 if nfe is None or pace is None else nfe * left * pace
        text = "adaptive" if nfe is None else f"about {nfe:g}" if adaptive else f"{nfe}"
        click.echo(
            f"  {state:<9} {cell.title} · {cell.samples} samples · NFE {text}"
            f" · {there} of {len(cell.batches)} batches on disk · {cell.fingerprint}"
        )
        why = _stale(cell, records) if record is None else ""
        if why:
            click.echo(f"            stale: there is a record, but {why}")
    expected = f"; about {duration(seconds)} by earlier records" if seconds else ""
    if unknown and seconds:
        expected += f", {count(unknown, 'cell')} of unknown time aside"
    elif unknown:
        expected = "; no earlier record tells how long it takes"
    adaptive = any(cell.planned_nfe is None for cell in cells)
    aside = ", adaptive solvers aside" if adaptive else ""
    click.echo(f"to run: {total:.0f} network evaluations (samples x NFE){aside}{expected}; nothing was run")


def _pace_key(identity: Mapping[str, Any]) -> tuple[Any, ...]:
    roles = ("task", "predictor", "corrector", "solver")
    task, *stages = (identity.get(role, {}).get("name") for role in roles)
    return (identity["checkpoint"]["name"], identity["device"], identity["precision"], task, *stages)


def _paces(records: Iterable[dict[str, Any]]) -> dict[tuple[Any, ...], float]:
    """Seconds per network evaluation of one sample, by checkpoint, device, precision, task and sampler.

    Of those records that made the most evaluations a batch, within a factor of two: in small ones what is
    done once takes the time.
    """
    found: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for record in records:
        if record["status"] == "finished":
            cost = record["cost"]
            made = record["samples"] * cost["nfe"]
            batch = min(record["samples"], record["identity"]["batch_size"]) * cost["nfe"]
            key = _pace_key(record["identity"])
            for part in (key, key[:4]):
                found.setdefault(part, []).append((batch, cost["seconds"] / made))
    return {
        key: statistics.median(pace for batch, pace in paces if 2 * batch >= max(paces)[0])
        for key, paces in found.items()
    }


def _known_nfe(cell: RunSpec, records: Iterable[dict[str, Any]]) -> float | None:
    """What a solver took on the same checkpoint in earlier records; None where there are none."""
    roles = ("task", "checkpoint", "sde", "solver", "denoise")
    found = [
        record["cost"]["nfe"]
        for record in records
        if record["status"] == "finished" and all(_same(record["identity"], cell.identity, r) for r in roles)
    ]
    return statistics.median(found) if found else None


def _same(a: Mapping[str, Any], b: Mapping[str, Any], role: str) -> bool:
    x, y = a.get(role), b.get(role)
    if isinstance(x, Mapping) and isinstance(y, Mapping):
        return bool(x.get("name") == y.get("name") and x.get("parameters") == y.get("parameters"))
    return bool(x == y)


def _stale(cell: RunSpec, records: Iterable[dict[str, Any]]) -> str:
    """How the record of the same title and samples differs that comes nearest; nothing if there is none."""
    now = _flat(cell.identity)
    reasons: list[list[str]] = []
    for record in records:
        if record["title"] == cell.title and record["samples"] == cell.samples:
            then = _flat(record["identity"])
            keys = sorted(k for k in now.keys() | then.keys() if now.get(k) != then.get(k))
            reasons.append([_difference(k, then.get(k), now.get(k)) for k in keys])
    return "; ".join(sorted(reasons, key=len)[0]) if reasons else ""


def _difference(key: str, then: Any, now: Any) -> str:
    if key.endswith("code") or key.endswith("sha256"):
        what = key.removesuffix(".code").replace("code", "the core")
        return f"{what} has changed since"
    return f"{key} was {then}, not {now}"


def _flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
