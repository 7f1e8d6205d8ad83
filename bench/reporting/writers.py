"""Writers: a table as CSV, a layout as Markdown, LaTeX and HTML."""

from __future__ import annotations

import csv
import dataclasses
import html as markup
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence

from bench.files import csv_cell
from bench.reporting.layouts import Entry, TextTable
from bench.reporting.published_figures import COLUMNS, PublishedFigure
from bench.reporting.run_rows import RunRow
from bench.reporting.table import Cell, Table
from bench.reporting.text import make_printable

Value = str | int | float | bool | None


def runs_csv(runs: Sequence[RunRow]) -> bytes:
    """cells.csv: a line per run and metric, with every bit of the values."""
    names = [field.name for field in dataclasses.fields(RunRow)]
    lines = [{name: getattr(row, name) for name in names} | published_columns(row.published) for row in runs]
    at = names.index("published") + 1
    names[at:at] = [name for name in published_columns(()) if name != "published"]
    return csv_bytes(names, ([line[name] for name in names] for line in lines))


def published_columns(figures: Sequence[PublishedFigure]) -> dict[str, Value]:
    """Values, spreads and sources of published figures, with semicolons between those of several sources."""
    spreads = [_digits(figure.std) or "" for figure in figures]
    return {
        "published": "; ".join(f"{figure.value:.10g}" for figure in figures),
        "published_std": "; ".join(spreads) if any(spreads) else "",
        "published_source": "; ".join(figure.citation for figure in figures),
    }


def elsewhere_csv(cells: Iterable[Cell]) -> bytes:
    """A line per cell and published figure of another checkpoint that was sampled alike: the cell's place and
    value, then the figure."""
    names = ["sde", "row", "column", "nfe", "value"]
    figure_names = [f"published_{name}" for name in COLUMNS]
    return csv_bytes(
        [*names, *figure_names],
        (
            [*(getattr(cell, name) for name in names[:3]), _digits(cell.nfe), _digits(cell.value)]
            + [_plain(getattr(figure, name)) for name in COLUMNS]
            for cell in cells
            for figure in cell.published_elsewhere
        ),
    )


def _plain(value: object) -> Value:
    return value if isinstance(value, str | int | float | None) else json.dumps(value, sort_keys=True)


def wide_csv(table: Table) -> bytes:
    """The paper's layout: a line per SDE and row, with each column's mean, std, minimum, seeds, values by
    theory, published figure, NFE, status and whether it is the row's best."""
    lines: list[dict[str, Value]] = []
    # stable: rows of an SDE stay in the suite's order
    for row in sorted(table.rows, key=lambda row: row.sde):
        line: dict[str, Value] = {
            "suite": table.suite,
            "checkpoint": table.checkpoint,
            "samples": table.samples,
            "steps_scale": _digits(table.steps_scale),
            "metric": table.metric,
            "sde": row.sde,
            "row": row.row,
        }
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell is not None:
                line |= _wide_cell(column or "value", cell)
        lines.append(line)
    # a column of the suite that a row lacks is empty in it
    names = list(dict.fromkeys(name for line in lines for name in line))
    return csv_bytes(names, ([line.get(name) for name in names] for line in lines))


def _wide_cell(name: str, cell: Cell) -> Mapping[str, Value]:
    published = published_columns(cell.published)
    return {
        name: _digits(cell.value),
        f"{name} std": _digits(cell.std),
        f"{name} minimum": _digits(cell.minimum),
        f"{name} seeds": cell.seeds,
        f"{name} exact": _digits(cell.exact),
        f"{name} limit_at_tolerance_0": _digits(cell.limit),
        f"{name} published": published["published"],
        f"{name} published_std": published["published_std"],
        f"{name} nfe": _digits(cell.nfe),
        f"{name} status": cell.status,
        f"{name} best": cell.best,
    }


def cost_csv(cells: Iterable[Cell]) -> bytes:
    """A line per cell: NFE per sample and the greatest of one, samples/s over seeds, share of the time in the
    network, seconds per 50,000 samples, batch size, device, peak memory in bytes, and the cost of the fit."""
    names = ["sde", "row", "column", "status", "nfe", "nfe_max", "samples_per_second"]
    names += ["samples_per_second_std", "network_share", "seconds_per_50000", "batch_size", "device"]
    names += ["peak_host_bytes", "peak_gpu_bytes", "fit_nfe", "fit_seconds"]
    return csv_bytes(
        names,
        (
            [
                *(cell.sde, cell.row, cell.column, cell.status),
                *map(_digits, (cell.nfe, cell.nfe_max, cell.pace, cell.pace_std, cell.network_share)),
                _digits(None if cell.pace is None else 50_000 / cell.pace),
                *(cell.batch_size, cell.device, cell.peak_host_bytes, cell.peak_gpu_bytes),
                *map(_digits, (cell.fit_nfe, cell.fit_seconds)),
            ]
            for cell in cells
        ),
    )


def _digits(value: float | None) -> str | None:
    """Ten significant digits."""
    return None if value is None else f"{value:.10g}"


def csv_bytes(names: Sequence[str], lines: Iterable[Sequence[Value]]) -> bytes:
    """A CSV of a header and lines: the same bytes on every platform, and no cell that a spreadsheet computes.

    Args:
        names: The header.
        lines: A cell per name each; None is an empty one.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([csv_cell(name) for name in names])
    writer.writerows([csv_cell(value) for value in line] for line in lines)
    return text.getvalue().encode()


_MARKDOWN = {"<": "&lt;", "\\": "&#92;", "`": "\\`", "[": "\\[", "]": "\\]"}
_LINK = re.compile(r"(?i)(?<=[a-z])://|(?<=www)\.")
"""What makes a link of bare text."""


def _broken_link(match: re.Match[str]) -> str:
    return "".join(f"&#{ord(c)};" for c in match[0])


def markdown(heading: str, layout: TextTable, notes: Sequence[str]) -> str:
    """A Markdown table under its heading, notes below."""

    def escaped(text: str) -> str:
        return "".join(_MARKDOWN.get(c, c) for c in _LINK.sub(_broken_link, make_printable(text)))

    def cell(text: str) -> str:
        return escaped(text).replace("|", "\\|")

    def entry(e: Entry) -> str:
        core = cell(e.core)
        return (f"**{core}**" if e.best else core) + cell(e.suffix)

    def line(texts: Iterable[str]) -> str:
        return f"| {' | '.join(texts)} |\n"

    text = (
        f"### {escaped(heading)}\n\n"
        + line(map(cell, layout.header))
        + "|"
        + "---|" * len(layout.header)
        + "\n"
    )
    text += "".join(line(map(entry, entries)) for entries in layout.lines)
    return text + "".join(f"\n{escaped(note)}\n" for note in notes)


_TEX = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "–": "--",
    "τ": r"$\tau$",
    "·": r"$\cdot$",
}
# a line that begins with a bracket would be an option of the line break before it
_TEX |= {"[": "{[}", "]": "{]}"}
_TEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
_TEX |= {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def latex(heading: str, layout: TextTable, notes: Sequence[str]) -> str:
    """A LaTeX table (package booktabs) with the heading and notes as its caption."""

    def escaped(text: str) -> str:
        return "".join(_TEX.get(c, c) for c in make_printable(text))

    def entry(e: Entry) -> str:
        core = escaped(e.core)
        return (rf"\textbf{{{core}}}" if e.best else core) + escaped(e.suffix)

    def line(texts: Iterable[str]) -> str:
        return "  " + " & ".join(texts) + r" \\" + "\n"

    text = "% needs \\usepackage{booktabs}\n\\begin{table}\n\\centering\n"
    text += rf"\caption{{{escaped(' '.join([heading + '.', *notes]))}}}" + "\n"
    text += rf"\begin{{tabular}}{{{'l' * len(layout.header)}}}" + "\n\\toprule\n"
    text += line(map(escaped, layout.header)) + "\\midrule\n"
    text += "".join(line(map(entry, entries)) for entries in layout.lines)
    return text + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"


def _html(text: str) -> str:
    return markup.escape(make_printable(text))


def html(heading: str, layout: TextTable, notes: Sequence[str] = ()) -> str:
    """An HTML table with the heading as its caption, notes below; for notebooks and pages."""

    def entry(e: Entry) -> str:
        core = _html(e.core)
        return (f"<b>{core}</b>" if e.best else core) + _html(e.suffix)

    def line(tag: str, texts: Iterable[str]) -> str:
        return f"<tr>{''.join(f'<{tag}>{text}</{tag}>' for text in texts)}</tr>\n"

    text = f"<table>\n<caption>{_html(heading)}</caption>\n"
    text += f"<thead>\n{line('th', map(_html, layout.header))}</thead>\n<tbody>\n"
    text += "".join(line("td", map(entry, entries)) for entries in layout.lines)
    return text + "</tbody>\n</table>\n" + "".join(f"<p>{_html(note)}</p>\n" for note in notes)
