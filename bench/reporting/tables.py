"""A suite's tables as CSV, Markdown and LaTeX, and the lines that the command line prints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

LINES = ("value", "exact", "published")


def number(mean: float, std: float = float("nan")) -> str:
    """``0.259 ± 0.021``: two digits of the spread decide; four significant digits without one."""
    if math.isnan(mean):
        return "–"
    if math.isnan(std):
        return f"{mean:.4g}"
    size = max(abs(mean), std)
    power = math.floor(math.log10(size)) if size > 0 else 0
    if power >= 5 or (power < -3 and size > 0):
        unit = 10.0**power
        return f"({number(mean / unit, std / unit)})e{power}"
    digits = 4 if std == 0 else max(0, 1 - math.floor(math.log10(std)))
    return f"{mean:.{digits}f} ± {std:.{digits}f}"


def title(manifest: Mapping[str, Any], metric: str) -> str:
    """What the table shows, and whether it is a small one of the full table's shape."""
    scale = manifest["steps_scale"]
    small = "" if scale == 1 else f", all step counts times {scale:g}: a small table of the full one's shape"
    precision = "" if manifest["precision"] == "fp32" else f", {manifest['precision']}"
    return (
        f"{manifest['suite']} · {metric} on {manifest['checkpoint']}, "
        f"{manifest['samples']} samples per seed{precision}{small}"
    )


def wide_csv(cells: pd.DataFrame, manifest: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """The paper's layout: a row per SDE and row, and for every column its mean, std, seeds, exact value,
    published figure, status and whether it is the row's best."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for _, cell in cells.sort_values("sde", kind="stable").iterrows():
        place = (cell["sde"], cell["row"])
        row = rows.setdefault(
            place,
            {
                **{k: manifest[k] for k in ("suite", "checkpoint", "samples", "steps_scale")},
                "metric": metric,
                "sde": cell["sde"],
                "row": cell["row"],
            },
        )
        name = cell["column"] or "value"
        row[name] = cell["mean"]
        for part in ("std", "seeds", "exact", "published", "published_std", "nfe", "status"):
            row[f"{name} {part}"] = cell[part]
        row[f"{name} best"] = bool(cell["best"])
    table = pd.DataFrame(list(rows.values()))
    seeds = [c for c in table if str(c).endswith(" seeds")]
    return table.astype(dict.fromkeys(seeds, "Int64"))


def layout(cells: pd.DataFrame, metric: str, quantity: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows for people: per SDE and row a line of values, of exact ones, of published ones.

    The row's best is between asterisks; a flagged value carries a dagger.
    """
    columns = list(dict.fromkeys(cells["column"]))
    header = ["sde", "row", "", *columns]
    names = {"value": metric, "exact": f"{metric}, exact", "published": f"{quantity} in the paper"}
    rows: list[list[str]] = []
    for sde in dict.fromkeys(cells["sde"]):
        for row, group in cells[cells["sde"] == sde].groupby("row", sort=False):
            by_column = {cell["column"]: cell for _, cell in group.iterrows()}
            lines: dict[str, list[str]] = {line: [] for line in LINES}
            for column in columns:
                cell = by_column.get(column)
                lines["value"].append("" if cell is None else _value(cell))
                lines["exact"].append("" if cell is None else _exact(cell))
                lines["published"].append("" if cell is None else _published(cell))
            shown = [line for line in LINES if any(lines[line])]
            for i, line in enumerate(shown):
                first = [str(sde), str(row)] if i == 0 else ["", ""]
                rows.append([*first, names[line], *lines[line]])
    return header, rows


def _exact(cell: pd.Series[Any]) -> str:
    return "" if math.isnan(cell["exact"]) else f"{cell['exact']:.4g}"


def _published(cell: pd.Series[Any]) -> str:
    """As printed in the paper: the spread's own decimals."""
    value, std = cell["published"], cell["published_std"]
    if math.isnan(value):
        return ""
    digits = len(f"{std:g}".partition(".")[2])
    return f"{value:g}" if math.isnan(std) else f"{value:.{digits}f} ± {std:g}"


def _value(cell: pd.Series[Any]) -> str:
    if cell["status"] != "finished":
        return str(cell["status"])
    text = number(cell["mean"], cell["std"]) + (" †" if cell["flagged"] else "")
    seeds = f" ({cell['seeds']} of {cell['planned']})" if cell["seeds"] < cell["planned"] else ""
    return f"*{text}*{seeds}" if cell["best"] else text + seeds


def listing(cells: pd.DataFrame, metric: str, quantity: str = "") -> tuple[list[str], list[list[str]]]:
    """A line per cell: where it stands, value, exact value, NFE and pace."""
    header = ["sde", "row", "column", metric, "exact", "NFE", f"published {quantity}", "samples/s"]
    rows = [
        [
            cell["sde"],
            cell["row"],
            cell["column"],
            _value(cell),
            _exact(cell),
            number(cell["nfe"]),
            "" if math.isnan(cell["published"]) else f"{cell['published']:g}",
            number(cell["pace"]),
        ]
        for _, cell in cells.iterrows()
    ]
    return _without_empty(header, rows)


def costs(cells: pd.DataFrame) -> pd.DataFrame:
    """Per cell: NFE per sample, samples/s over seeds, share of the time in the network, s per 50,000."""
    kept = cells[["sde", "row", "column", "status", "nfe"]].copy()
    kept["samples_per_second"] = cells["pace"]
    kept["samples_per_second_std"] = cells["pace_std"]
    kept["network_share"] = cells["network_share"]
    kept["seconds_per_50000"] = 50_000 / cells["pace"]
    return kept


def cost_listing(cells: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """`costs` for people."""
    header = ["sde", "row", "column", "NFE", "samples/s", "in network", "s per 50,000 samples"]
    rows = [
        [
            cell["sde"],
            cell["row"],
            cell["column"],
            number(cell["nfe"]),
            number(cell["samples_per_second"], cell["samples_per_second_std"]),
            "–" if math.isnan(cell["network_share"]) else f"{100 * cell['network_share']:.0f} %",
            number(cell["seconds_per_50000"]),
        ]
        for _, cell in costs(cells).iterrows()
    ]
    return header, rows


def _without_empty(header: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return [header[i] for i in kept], [[row[i] for i in kept] for row in rows]


def markdown(heading: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """A Markdown table under its heading, notes below."""

    def line(cells: Sequence[str]) -> str:
        plain = (c.replace("|", "\\|").replace("<", "&lt;") for c in cells)
        bold = (f"**{c[1:].replace('*', '**', 1)}" if c.startswith("*") else c for c in plain)
        return f"| {' | '.join(bold)} |\n"

    text = f"### {heading}\n\n" + line(header) + "|" + "---|" * len(header) + "\n"
    text += "".join(line(row) for row in rows)
    return text + "".join(f"\n{note}\n" for note in notes)


_TEX = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "–": "--",
    "τ": r"$\tau$",
    "·": r"$\cdot$",
}
_TEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
_TEX |= {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def latex(heading: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """A LaTeX table (package booktabs) with the heading and notes as its caption."""

    def plain(text: str) -> str:
        return "".join(_TEX.get(c, c) for c in text)

    def line(cells: Sequence[str]) -> str:
        texts = []
        for cell in cells:
            inner, star, after = cell[1:].partition("*") if cell.startswith("*") else (cell, "", "")
            texts.append(rf"\textbf{{{plain(inner)}}}{plain(after)}" if star else plain(cell))
        return "  " + " & ".join(texts) + r" \\" + "\n"

    text = "% needs \\usepackage{booktabs}\n\\begin{table}\n\\centering\n"
    text += rf"\caption{{{plain(' '.join([heading + '.', *notes]))}}}" + "\n"
    text += rf"\begin{{tabular}}{{{'l' * len(header)}}}" + "\n\\toprule\n"
    text += line(header) + "\\midrule\n"
    text += "".join(line(row) for row in rows)
    return text + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
