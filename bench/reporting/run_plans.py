"""Runs that no suite names as plans of tables: one per checkpoint, task, images, samples and precision."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.params import slug
from bench.plan.settings import DEFAULT_TASK
from bench.results.manifest import PlannedRun, SuitePlan

if TYPE_CHECKING:
    from bench.results.record import Record

RUNS = "runs"
"""What stands for a suite in the tables of all runs of a folder."""
SEPARATOR = " · "
"""What separates task, checkpoint, SDE and sampler in a record's title."""


def plans_of_runs(records: Iterable[Record]) -> tuple[list[SuitePlan], int]:
    """The plans of the tables that show all records, a line per cell.

    Of one cell and seed the newest record counts.

    Returns:
        The plans, and the number of older records that are left out.
    """
    newest: dict[tuple[str, int], Record] = {}
    count = 0
    for record in records:
        count += 1
        place = (record.cell, record.seed)
        if place not in newest or record.created >= newest[place].created:
            newest[place] = record
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in newest.values():
        groups.setdefault(_group(record), []).append(record)
    names = [_name(group[0]) for group in groups.values()]
    plans = []
    for name, group in zip(names, groups.values(), strict=True):
        data = group[0].identity.data
        # images of one name that are not the same
        suffix = f"-{data.sha256[:8]}" if data is not None and names.count(name) > 1 else ""
        plans.append(_plan(name + suffix, group))
    return plans, count - len(newest)


def _group(record: Record) -> tuple[str, ...]:
    """What the runs of one table share."""
    identity, data = record.identity, record.identity.data
    images = "" if data is None else f"{data.kind} {data.sha256}"
    parts = (identity.checkpoint.name, identity.task.name, images, str(record.samples), identity.precision)
    return (*parts, str(identity.compile))


def _name(record: Record) -> str:
    identity = record.identity
    parts = [identity.checkpoint.name]
    parts += [identity.task.name] if identity.task.name != DEFAULT_TASK else []
    parts += [str(record.samples)]
    parts += [slug(Path(record.data).stem)[:60]] if record.data else []
    parts += [identity.precision] if identity.precision != "fp32" else []
    parts += ["compiled"] if identity.compile else []
    return "-".join(parts)


def _plan(name: str, records: list[Record]) -> SuitePlan:
    first = records[0]
    cells: dict[tuple[str, str], set[str]] = {}
    for record in records:
        cells.setdefault(_place(record), set()).add(record.cell)
    runs = []
    for record in records:
        sde, row = _place(record)
        # a default that has changed between versions shows in no title
        ambiguous = len(cells[sde, row]) > 1
        runs.append(
            PlannedRun(
                sde=sde,
                row=f"{row} (cell {record.cell[:6]})" if ambiguous else row,
                column="",
                seed=record.seed,
                title=record.title,
                fingerprint=record.fingerprint,
                sampler=record.cell,
            )
        )
    return SuitePlan(
        suite=RUNS,
        name=name,
        checkpoint=first.identity.checkpoint.name,
        samples=first.samples,
        batch_size=first.identity.batch_size,
        precision=first.identity.precision,
        metrics=tuple(dict.fromkeys(label for record in records for label in record.metrics)),
        cells=tuple(runs),
    )


def _place(record: Record) -> tuple[str, str]:
    """SDE and row of a record's line: its title without the checkpoint."""
    task, checkpoint, rest = record.title.partition(f"{record.identity.checkpoint.name}{SEPARATOR}")
    sde, separator, sampler = rest.partition(SEPARATOR)
    if not (checkpoint and separator):
        return record.identity.sde.name, record.title
    return sde, task + sampler
