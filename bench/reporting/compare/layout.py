"""A comparison laid out for readers."""

from __future__ import annotations

from bench.errors import printable
from bench.reporting.compare.comparison import Comparison, pair_ratios
from bench.reporting.compare.rows import Row
from bench.reporting.layouts import Entry, TextTable
from bench.reporting.text import CONTINUED, count


def comparison_layout(comparison: Comparison) -> TextTable:
    """A line per row, without the columns that say nothing."""
    lines = [_entries(row) for row in comparison.rows]
    several = len({row.pair.samples for row in comparison.rows}) > 1
    header = [name for name in lines[0] if name != "samples" or several] if lines else []
    layout = TextTable(tuple(header), tuple(tuple(line[name] for name in header) for line in lines))
    return layout.without_empty_columns()


def summary_line(comparison: Comparison) -> str:
    """How many cells are on both sides, and what B costs relative to A."""
    samples = {row.pair.samples for row in comparison.rows}
    each = f", {samples.pop()} samples each" if len(samples) == 1 else ""
    ratios = comparison.ratios
    return (
        f"{count(len(comparison.pairing.pairs), 'cell')} compared{each}; geometric means, B over A: "
        f"NFE {_ratio(ratios.nfe)}, samples/s {_ratio(ratios.speed)}"
    )


def side_lines(comparison: Comparison) -> list[str]:
    """The two sides with the notes on how they were read."""
    lines = []
    for name, side in (("A", comparison.a), ("B", comparison.b)):
        lines.append(f"{name}  {side.name}: {count(len(side.runs), 'run')}")
        lines += [f"   {note}" for note in side.notes]
    return lines


def unpaired_lines(comparison: Comparison) -> list[str]:
    """What is not compared: cells on one side, failed runs, cells without a common seed."""
    pairing = comparison.pairing
    groups = {
        "in A only": pairing.only_a,
        "in B only": pairing.only_b,
        "failed in A": [run.failure for run in pairing.failed_a],
        "failed in B": [run.failure for run in pairing.failed_b],
        "without a seed in common": pairing.other_seeds,
    }
    return [
        f"{count(len(names), 'cell')} {state}" + ("" if len(names) > 1 else f": {names[0]}")
        for state, names in groups.items()
        if names
    ]


def limit_lines(comparison: Comparison) -> list[str]:
    """What the limits came to."""
    lines = []
    for check in comparison.checks:
        prefix = f"fail-on {check.limit.text}: "
        lines += [f"{prefix}{row.pair.title} is worse {_change(row)}" for row in check.broken]
        lines += [
            f"{prefix}{row.pair.title} is over it, but the interval includes 0 {_change(row)}"
            for row in check.exceeded_by_chance
        ]
        lacking = len(comparison.pairing.pairs) - len(check.rows)
        unchecked = f", {count(lacking, 'cell')} lack it on one side" if lacking else ""
        lines.append(f"{prefix}broken by {len(check.broken)} of {count(len(check.rows), 'cell')}{unchecked}")
    if comparison.checks:
        lines += [f"fail-on: {run.failure} failed in B" for run in comparison.pairing.newly_failed]
    return lines


def _entries(row: Row) -> dict[str, Entry]:
    estimate, flagged = row.estimate, bool(row.note)
    ratios = pair_ratios(row.pair)
    texts = {
        "95 % interval": _interval(row),
        "relative": _percent(row),
        "p (Holm)": "" if row.p_holm is None else f"{row.p_holm:.2g}",
        "over": _over(row),
        "NFE B/A": _ratio(ratios.nfe),
        "speed B/A": _ratio(ratios.speed),
        "verdict": row.verdict,
    }
    return {
        # two titles are too long for a line
        "cell": Entry(printable(row.pair.title, None).replace(" → ", CONTINUED)),
        "samples": Entry(str(row.pair.samples)),
        "metric": Entry(row.metric),
        "A": Entry(f"{row.a:.4g}", flagged=flagged),
        "B": Entry(f"{row.b:.4g}", flagged=flagged),
        "B − A": Entry(f"{estimate.difference:.4g}"),
    } | {name: Entry(text) for name, text in texts.items()}


def _over(row: Row) -> str:
    """What the interval is over, and whether in pairs."""
    n, over = row.estimate.n, row.estimate.over
    if not over:
        return count(n, "seed")
    unit = count(n, "seed") if over == "seeds" else f"{n} groups of batches"
    return f"{unit}, {'paired' if row.estimate.paired else 'not paired'}"


def _interval(row: Row) -> str:
    interval = row.estimate.interval
    return "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"


def _percent(row: Row) -> str:
    if row.relative is None:
        return ""
    return f"{100 * row.relative:+.4g} %" if row.relative else "0 %"


def _ratio(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _change(row: Row) -> str:
    interval = f", 95 % interval of B − A {_interval(row)}" if row.estimate.interval else ", no interval"
    change = _percent(row) or f"{row.estimate.difference:+.4g}"
    return f"on B: {row.metric} {row.a:.4g} → {row.b:.4g} ({change}{interval})"
