"""Make registry/published/figures.csv of the sources' rows and the mapping in registry/recipes/published/.

python registry/recipes/published_figures.py
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "published"
FIGURES = Path(__file__).resolve().parent.parent / "published" / "figures.csv"
COLUMNS = (
    *("checkpoint", "network", "dataset", "metric", "preset", "value", "std", "sde", "sampler", "parameters"),
    *("grid", "nfe", "guidance", "method", "kind", "source", "table", "year", "read_from"),
)
KINDS = {
    "schedule search (DP, no training)": "schedule search",
    "model statistics (EMS)": "model statistics",
}
"""Kinds of samplers by the sources' words, where the words are others."""


def source_rows() -> Iterator[dict[str, str]]:
    """The rows of every CSV of sources, in order of the files' names."""
    for path in sorted(FOLDER.glob("sources_*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)


def typed_rows() -> list[dict[str, str]]:
    """Every source row with the columns of figures.csv; `KeyError` for words that the mapping lacks."""
    mapping = tomllib.loads((FOLDER / "mapping.toml").read_text(encoding="utf-8"))
    return [typed_row(row, mapping) for row in source_rows()]


def typed_row(row: dict[str, str], mapping: dict[str, Any]) -> dict[str, str]:
    """One source row in typed columns."""
    source, method, network = row["source"], row["method"], row["checkpoint"]
    facts = mapping["sources"][source]
    sampler = meaning(mapping["methods"], method, source, f"{row['NFE']} calls")
    weights = meaning(mapping["networks"], network, source, method)
    metric = row.get("metric") or "fid"
    # a source's preset is the convention of its FID; other metrics have none
    preset = facts.get("preset", "") if metric == "fid" else "none"
    parameters = {
        name: None if value == "?" else value for name, value in sampler.get("parameters", {}).items()
    }
    calls = mapping["calls"].get(row["NFE"], row["NFE"])
    return {
        "checkpoint": weights.get("checkpoint", ""),
        "network": network,
        "dataset": meaning(mapping["datasets"], row["dataset"], source),
        "metric": metric,
        "preset": preset,
        "value": row.get("value") or row["FID"],
        "std": row.get("std") or "",
        "sde": weights.get("sde", ""),
        "sampler": sampler.get("sampler", ""),
        "parameters": json.dumps(parameters, sort_keys=True) if parameters else "",
        "grid": sampler.get("grid", ""),
        "nfe": str(calls) if str(calls).isdigit() else "",
        "guidance": weights.get("guidance", "none"),
        "method": method,
        "kind": KINDS.get(row["kind"], row["kind"]),
        "source": facts["source"],
        "table": facts.get("table", ""),
        "year": str(facts.get("year", "")),
        "read_from": row["verified_from"],
    }


def meaning(table: dict[str, Any], text: str, *places: str) -> Any:
    """What a text means, in one of these places or everywhere."""
    keys = [f"{text} @ {place}" for place in places] + [text]
    return table[next((key for key in keys if key in table), text)]


def main() -> None:
    """Write figures.csv."""
    with FIGURES.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(typed_rows())
    print(FIGURES)


if __name__ == "__main__":
    main()
