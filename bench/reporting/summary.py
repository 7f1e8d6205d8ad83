"""The table at the end of a run: cells that differ in their seed alone are one row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def spread(values: Sequence[float]) -> str:
    """``mean ± std (n)`` over seeds; the bare value where there is one."""
    mean = float(np.mean(values))
    if len(set(values)) == 1:
        return f"{mean:.4g}"
    return f"{mean:.4g} ± {float(np.std(values, ddof=1)):.2g} (std over {len(values)} seeds)"


def over_samples(readings: Sequence[dict[str, Any]]) -> str:
    """How far the samples of one run decide a value: never to be taken for the spread over seeds."""
    text = ""
    errors = [r["error"] for r in readings if r["error"] is not None]
    if errors:
        each = f"{float(np.mean(errors)):.2g}"
        alone = f" ± {each} (standard error over samples)"
        text = alone if len(readings) == 1 else f", standard error of each over its samples {each}"
    interval = readings[0].get("details", {}).get("bootstrap")
    if interval and len(readings) == 1:
        text += f", 95 % bootstrap interval over samples {interval['low']:.4g} to {interval['high']:.4g}"
    return text


def fits(metrics: Mapping[str, dict[str, Any]]) -> list[str]:
    """The straight lines behind values at infinitely many samples, of readings by metric."""
    lines = []
    for name, reading in metrics.items():
        line = reading.get("details", {}).get("extrapolated")
        if line is None:
            continue
        slope = f"{'-' if line['slope'] < 0 else '+'} {abs(line['slope']):.3g} / n"
        points = line["points"]
        lines.append(
            f"{name}: {line['value']:.4g} {slope}, fitted to {len(points)} sizes from n = {points[0][0]} to "
            f"{points[-1][0]}: R^2 {line['r2']:.3g}, standard error of the fit {line['fit_error']:.2g}; "
            f"at n = {reading['n']} it is {reading['details']['at_n']:.4g}"
        )
    return lines


def summary_rows(records: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """One row per sampler and metric over the finished records."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        if record["status"] == "finished":
            title = re.sub(r" · seed \d+$", "", record["title"])
            for metric in record["metrics"]:
                groups.setdefault((title, metric), []).append(record)
    rows = []
    for (title, metric), group in groups.items():
        readings = [r["metrics"][metric] for r in group]
        value = spread([r["value"] for r in readings])
        value += over_samples(readings)
        rows.append(
            {
                "sampler": title,
                "metric": metric,
                "value": value + (" †" if readings[0]["note"] else ""),
                "exact": f"{readings[0]['exact']:.4g}" if "exact" in readings[0] else "",
                "samples": str(readings[0]["n"]),
                "NFE per sample": spread([float(r["cost"]["nfe"]) for r in group]),
                "samples/s": spread([r["cost"]["samples_per_second"] for r in group]),
                "in network": f"{100 * float(np.mean([r['cost']['network_share'] for r in group])):.1f} %",
            }
        )
    return rows


def notes(records: Sequence[dict[str, Any]]) -> list[str]:
    """What the daggers stand for."""
    found = {
        f"† {name}: {reading['note']}: read it as a check that the run works, not as a measurement"
        for record in records
        if record["status"] == "finished"
        for name, reading in record["metrics"].items()
        if reading["note"]
    }
    below = {
        f"{name} below nought: its bias is taken off, so that near nought noise may bring it there"
        for record in records
        if record["status"] == "finished"
        for name, reading in record["metrics"].items()
        if reading["value"] < 0 and reading.get("bias", "").startswith("none")
    }
    return sorted(found) + sorted(below)
