"""Records and a suite's manifest -> tidy rows, and one line per cell over its seeds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reporting.compare.pairing import HARMLESS, unlike
from bench.types import Array

if TYPE_CHECKING:
    from bench.results.store import Store


PLACE = ["sde", "row", "column"]


def tidy(manifest: Mapping[str, Any], store: Store) -> pd.DataFrame:
    """One row per cell, seed and metric; a cell that was never run is a row of status ``missing``.

    So is one whose reading is not like the others of the metric, with the ``reason``: see `odd_ones`.
    """
    published = {tuple(row[k] for k in PLACE): row for row in manifest["published"]}
    records = [store.read_record(cell["fingerprint"]) or {"status": "missing"} for cell in manifest["cells"]]
    odd = {metric: odd_ones(records, metric, manifest["samples"]) for metric in manifest["metrics"]}
    rows = []
    for place, (cell, record) in enumerate(zip(manifest["cells"], records, strict=True)):
        identity, provenance = record.get("identity", {}), record.get("provenance", {})
        cost, figure = record.get("cost", {}), published.get(tuple(cell[k] for k in PLACE), {})
        for metric in manifest["metrics"]:
            reason = odd[metric].get(place, "")
            reading = None if reason else record.get("metrics", {}).get(metric)
            status = record["status"]
            rows.append(
                {
                    "suite": manifest["suite"],
                    "checkpoint": manifest["checkpoint"],
                    "steps_scale": manifest["steps_scale"],
                    **{k: cell[k] for k in (*PLACE, "x", "title", "seed")},
                    "samples": manifest["samples"],
                    "status": "missing" if status == "finished" and reading is None else status,
                    "metric": metric,
                    **{k: (reading or {}).get(k) for k in ("value", "error", "exact", "note")},
                    "solver": identity.get("solver", {}).get("name", ""),
                    "published": figure.get("value"),
                    "published_std": figure.get("std"),
                    "published_quantity": figure.get("quantity", ""),
                    "published_source": figure.get("source", ""),
                    **{k: cost.get(k) for k in ("nfe", "seconds", "samples_per_second", "network_share")},
                    "batch_size": manifest["batch_size"],
                    "device": identity.get("device", ""),
                    "precision": manifest["precision"],
                    "fingerprint": cell["fingerprint"],
                    **{k: provenance.get(k) for k in ("bench", "torch", "commit", "dirty")},
                    "reason": reason or record.get("reason", ""),
                }
            )
    frame = pd.DataFrame(rows)
    numbers = ["x", "value", "error", "exact", "published", "published_std", "nfe", "seconds"]
    numbers += ["samples_per_second", "network_share"]
    frame[numbers] = frame[numbers].astype(float)
    frame["note"] = frame["note"].fillna("")
    return frame


def odd_ones(records: Sequence[Mapping[str, Any]], metric: str, samples: int) -> dict[int, str]:
    """Places of the readings that may not stand in the metric's column, and why.

    Of another number of samples; or of other parameters or data than most (of two as many, the first).
    """
    found: dict[int, str] = {}
    made: dict[int, Mapping[str, Any]] = {}
    for place, record in enumerate(records):
        reading = record.get("metrics", {}).get(metric)
        if reading is None:
            continue
        if reading.get("n", samples) != samples:
            found[place] = f"n {reading['n']}, not {samples}"
        elif isinstance(reading.get("with"), Mapping):
            made[place] = reading["with"]
    kinds = {place: _kind(one) for place, one in made.items()}
    usual = next((kind for kind, _ in Counter(kinds.values()).most_common(1)), "")
    like = next((one for place, one in made.items() if kinds[place] == usual), None)
    odd = {place: unlike(one, like) for place, one in made.items()}
    return found | {place: why for place, why in odd.items() if why}


def _kind(made: Mapping[str, Any]) -> str:
    """Parameters and data of a reading as text, for counting."""
    kept = {k: v for k, v in dict(made.get("parameters") or {}).items() if k not in HARMLESS}
    return json.dumps([kept, made.get("provenance")], sort_keys=True)


def lower_is_better(metric: str, store: Store, manifest: Mapping[str, Any]) -> bool:
    """The metric's direction, as its records have it."""
    for cell in manifest["cells"]:
        record = store.read_record(cell["fingerprint"]) or {}
        reading = record.get("metrics", {}).get(metric)
        if reading is not None:
            return bool(reading.get("direction", "lower") == "lower")
    return True


def over_seeds(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per cell in the suite's order: mean, sample standard deviation and number of seeds.

    ``status``: finished if any seed is; else failed if any is; else missing. ``pace`` is samples/s.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in frame[frame["metric"] == metric].to_dict("records"):
        groups.setdefault(tuple(row[k] for k in PLACE), []).append({str(k): v for k, v in row.items()})
    rows = []
    for place, group in groups.items():
        done = [row for row in group if row["status"] == "finished"]
        states = {row["status"] for row in group}
        first = group[0]
        rows.append(
            {
                **dict(zip(PLACE, place, strict=True)),
                "x": first["x"],
                "status": next((s for s in ("finished", "failed") if s in states), "missing"),
                "mean": _mean(done, "value"),
                "std": _std(done, "value"),
                "seeds": len(done),
                "planned": len(group),
                "error": float(np.sqrt(_mean([{"square": row["error"] ** 2} for row in done], "square"))),
                "exact": next((row["exact"] for row in done if not np.isnan(row["exact"])), float("nan")),
                "published": first["published"],
                "published_std": first["published_std"],
                "nfe": _mean(done, "nfe"),
                "pace": _mean(done, "samples_per_second"),
                "pace_std": _std(done, "samples_per_second"),
                "network_share": _mean(done, "network_share"),
                "flagged": any(row["note"] for row in done),
                "reason": next((row["reason"] for row in group if row["status"] == "failed"), ""),
            }
        )
    return pd.DataFrame(rows)


def _known(rows: list[dict[str, Any]], column: str) -> list[float]:
    return [row[column] for row in rows if not np.isnan(row[column])]


def _mean(rows: list[dict[str, Any]], column: str) -> float:
    known = _known(rows, column)
    return float(np.mean(known)) if known else float("nan")


def _std(rows: list[dict[str, Any]], column: str) -> float:
    known = _known(rows, column)
    return float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")


def best_per_row(cells: pd.DataFrame, *, lower: bool) -> NDArray[np.bool_]:
    """The best cell of each row, where it beats the next by more than the spread of the two.

    The spread is ``sqrt(s^2 + s'^2)`` of the standard deviations over seeds: one seed marks nothing.
    """
    marked = np.zeros(len(cells), dtype=bool)
    rows: dict[tuple[str, str], list[int]] = {}
    for place, (sde, row, status) in enumerate(zip(cells["sde"], cells["row"], cells["status"], strict=True)):
        if status == "finished":
            rows.setdefault((sde, row), []).append(place)
    mean, std = cells["mean"].to_numpy() * (1 if lower else -1), cells["std"].to_numpy()
    for places in rows.values():
        ranked = sorted(places, key=lambda place: mean[place])
        if len(ranked) > 1:
            first, second = ranked[:2]
            marked[first] = mean[second] - mean[first] > np.hypot(std[first], std[second])
    return marked


def kendall_tau(a: Array, b: Array) -> float:
    """Kendall's tau-b (1945): ``sum sign(a_i - a_j) sign(b_i - b_j) / sqrt(A B)`` over pairs.

    A and B count the pairs that are not tied in a and in b; nan where one has none.
    """
    i, j = np.triu_indices(len(a), 1)
    x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    untied = float(np.sqrt((x != 0).sum() * (y != 0).sum()))
    return float((x * y).sum() / untied) if untied else float("nan")


def rank_agreement(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Kendall's tau between our order of the cells and the published one, per SDE.

    Also of the exact values, where every such cell has one. Needs three cells that have both.
    """
    found = []
    for sde, group in cells.groupby("sde", sort=False):
        both = group[group["published"].notna() & (group["status"] == "finished")]
        if len(both) < 3:
            continue
        figures = both["published"].to_numpy()
        exact = kendall_tau(both["exact"].to_numpy(), figures) if both["exact"].notna().all() else None
        tau = kendall_tau(both["mean"].to_numpy(), figures)
        found.append({"sde": sde, "cells": len(both), "tau": tau, "tau_exact": exact})
    return found


def best_of_curve(cells: pd.DataFrame, *, lower: bool) -> NDArray[np.bool_]:
    """The best mean of every SDE and row."""
    key = cells["mean"] * (1 if lower else -1)
    best = key.groupby([cells["sde"], cells["row"]]).transform("min")
    return (key == best).to_numpy()


def pareto(cells: pd.DataFrame, cost: str, *, lower: bool) -> NDArray[np.bool_]:
    """Cells that no other of their SDE beats at the same cost or less, by their means."""
    front = np.zeros(len(cells), dtype=bool)
    value, price = cells["mean"].to_numpy() * (1 if lower else -1), cells[cost].to_numpy()
    best: dict[str, float] = {}
    for place in np.lexsort((value, price)):
        sde = str(cells["sde"].iloc[place])
        if value[place] < best.get(sde, np.inf):  # nan, of a cell that is not there, is below nothing
            best[sde] = float(value[place])
            front[place] = True
    return front
