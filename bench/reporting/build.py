"""One table of a suite: everything that `bench table` writes, and what it prints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.files import replace_file
from bench.reporting import frame, tables
from bench.reporting.tables import number

if TYPE_CHECKING:
    from bench.results.store import Store


PLOTTED = ["sde", "row", "column", "x", "nfe", "seconds_per_sample", "mean", "std", "seeds", "exact"]


@dataclasses.dataclass(frozen=True)
class Built:
    """A finished table: its heading, what to print (``narrow``: where there is little room), and what was
    written where."""

    heading: str
    shown: tuple[list[str], list[list[str]]]
    narrow: tuple[list[str], list[list[str]]]
    notes: list[str]
    folder: Path
    files: list[str]
    complete: bool


def build(manifest: Mapping[str, Any], store: Store, metric: str, to: Path, *, plots: bool = True) -> Built:
    """Write ``to``/SUITE/NAME/… and say what to print."""
    rows = frame.tidy(manifest, store)
    lower = frame.lower_is_better(metric, store, manifest)
    cells = frame.over_seeds(rows, metric)
    cells["seconds_per_sample"] = 1 / cells["pace"]
    # along a curve a row has many steps: its best says nothing
    best = manifest["layout"] == "grid" and manifest["x"] is None
    cells["best"] = frame.best_per_row(cells, lower=lower) & best
    heading = tables.title(manifest, metric)
    quantity = next((row["quantity"].upper() for row in manifest["published"]), "")
    folder = to / manifest["suite"] / manifest["name"]
    files: list[str] = []

    def write(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
        files.append(path.name)

    def csv(name: str, table: pd.DataFrame, digits: str | None = "%.10g") -> None:
        write(folder / name, table.to_csv(index=False, lineterminator="\n", float_format=digits).encode())

    notes = _notes(cells, rows, metric, manifest)
    layout = manifest["layout"]
    if layout == "grid":
        shown = tables.layout(cells, metric, quantity)
    elif layout == "curve":
        if manifest["x"] in (None, "nfe"):
            kept = cells[frame.pareto(cells, "nfe", lower=lower)].sort_values(["sde", "nfe"])
            said = "Shown: the Pareto front, cells that none beats at as many network calls or fewer."
        else:
            kept, said = cells[frame.best_of_curve(cells, lower=lower)], "Shown: the best of each curve."
        shown = tables.listing(kept, metric, quantity)
        notes = [f"{said} All are in {metric}.md.", *notes] if len(kept) else notes
    else:
        shown = tables.listing(cells, metric, quantity)
    csv("cells.csv", rows, None)  # every bit of the values
    csv(f"{metric}.csv", tables.wide_csv(cells, manifest, metric))
    full = shown if layout != "curve" else tables.listing(cells, metric, quantity)
    write(folder / f"{metric}.md", tables.markdown(heading, *full, notes).encode())
    write(folder / f"{metric}.tex", tables.latex(heading, *full, notes).encode())
    csv("cost.csv", tables.costs(cells))
    write(folder / "cost.md", tables.markdown(f"{heading}: cost", *tables.cost_listing(cells), []).encode())
    if plots and cells["mean"].notna().any():
        _plots(manifest, cells, metric, quantity, heading, folder, write, csv, lower=lower)
    complete = bool((cells["seeds"] == cells["planned"]).all())
    return Built(heading, shown, tables.listing(cells, metric, quantity), notes, folder, files, complete)


def _plots(
    manifest: Mapping[str, Any],
    cells: pd.DataFrame,
    metric: str,
    quantity: str,
    heading: str,
    folder: Path,
    write: Any,
    csv: Any,
    *,
    lower: bool,
) -> None:
    from bench.reporting import plots

    if manifest["layout"] == "grid" and manifest["x"] is None:
        kept = [c for c in PLOTTED if c != "x"]
        csv(f"{metric}-plot.csv", cells[[*kept, "published", "published_std"]])
        plots.save(plots.grid(cells, metric, quantity, heading), folder / f"{metric}-plot", write)
        return
    x = "nfe" if manifest["layout"] == "list" else manifest["x"]
    axes = {"nfe": "network calls per sample (NFE)", "seconds_per_sample": "seconds per sample"}
    if x not in ("nfe", None):
        axes = {"x": str(x)}
    for column, label in axes.items():
        lined = cells if column == "x" else cells.assign(front=frame.pareto(cells, column, lower=lower))
        name = f"{metric}-{'seconds' if column == 'seconds_per_sample' else x if column == 'x' else column}"
        shown = quantity if quantity != "NFE" else ""
        kept = [*PLOTTED, *(["published"] if shown else []), *(["front"] if "front" in lined else [])]
        csv(f"{name}.csv", lined[kept])
        plots.save(plots.curve(lined, column, label, metric, heading, shown), folder / name, write)


def _notes(cells: pd.DataFrame, rows: pd.DataFrame, metric: str, manifest: Mapping[str, Any]) -> list[str]:
    """What the figures are, what the marks stand for, and how far the order agrees with the paper's."""
    notes = []
    seeds = int(cells["planned"].max())
    if (cells["seeds"] > 1).any():
        notes.append(f"Mean ± standard deviation over {seeds} seeds.")
    else:
        notes.append("One seed: there is no spread, and no best is marked.")
    if (cells["seeds"] > 1).any() and manifest["layout"] == "grid" and manifest["x"] is None:
        notes.append("Bold: the best of its row, where it beats the next by more than the two's spread.")
    if cells["exact"].notna().any():
        text = "Exact: from closed-form moments, free of sampling noise"
        solved = ((rows["solver"] != "") & rows["exact"].notna()).any()
        notes.append(text + ("; of a solver, its limit at tolerance 0." if solved else "."))
    # along x the order is mostly that of the cost
    ranked = [row for row in manifest["published"] if row["quantity"] != "nfe" and manifest["x"] is None]
    for agreement in frame.rank_agreement(cells) if ranked else ():
        exact = agreement["tau_exact"]
        also = "" if exact is None else f"; of the exact values {exact:.2f}"
        notes.append(
            f"Kendall's τ between this order and the paper's, {agreement['sde']}: {agreement['tau']:.2f} "
            f"over {agreement['cells']} cells{also}."
        )
    flagged = sorted({n for n in rows.loc[rows["metric"] == metric, "note"] if n})
    notes += [f"† {metric}: {note}." for note in flagged]
    short = int(((cells["seeds"] > 0) & (cells["seeds"] < cells["planned"])).sum())
    if short:
        notes.append(f"{short} of {len(cells)} cells have fewer seeds than planned: (seeds of planned).")
    for status in ("missing", "failed"):
        count = int((cells["status"] == status).sum())
        if count:
            notes.append(f"{count} of {len(cells)} cells {status}.")
    notes += _left_out(rows[rows["metric"] == metric], metric, manifest["suite"])
    reasons = [c for _, c in cells.iterrows() if c["reason"]]
    notes += [f"failed: {c['sde']} {c['row']} {c['column']}: {c['reason']}" for c in reasons[:5]]
    notes += [f"failed: {len(reasons) - 5} more; cells.csv has them all."] if len(reasons) > 5 else []
    spread = cells["error"].median()
    if not math.isnan(spread):
        error = number(float(spread))
        notes.append(f"Standard error over the samples of one seed's {metric}, median over cells: {error}.")
    return notes


def _left_out(rows: pd.DataFrame, metric: str, suite: str) -> list[str]:
    """Cells whose readings may not stand beside the others (`bench.reporting.frame.odd_ones`)."""
    odd = rows[(rows["status"] == "missing") & (rows["reason"] != "")]
    name = metric.partition("-")[0].removesuffix("_inf")
    how = f"bench measure --suite {suite} --metric {name}"
    how += "" if name == metric else ", with its parameters,"
    notes = []
    for reason, group in odd.groupby("reason", sort=False):
        count = len(group[frame.PLACE].drop_duplicates())
        hold = "1 cell holds" if count == 1 else f"{count} cells hold"
        notes.append(f"{hold} {metric} of {reason}, left out here: {how} takes it anew.")
    return notes
