"""A suite's plan and its records as rows: one per planned run and metric, the lines of cells.csv."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from bench.reporting.basis import Basis, difference

if TYPE_CHECKING:
    from bench.reporting.matching import Matcher
    from bench.reporting.published_figures import PublishedFigure
    from bench.results.manifest import PlannedRun, SuitePlan
    from bench.results.record import MetricRecord, Record

Status = Literal["finished", "failed", "missing"]


@dataclasses.dataclass(frozen=True)
class RunRow:
    """One planned run's value of one metric; the fields are the columns of cells.csv, in their order.

    ``status`` is ``missing`` where the run was never made, where its record lacks the metric, and where
    the value does not compare with the others of the metric; ``reason`` then says why (`misfits`).
    ``cell`` is `Record.cell`, empty without a record. ``published`` are the figures of the same checkpoint,
    data set, metric and sampler (`bench.reporting.matching.Matcher.beside`); cells.csv has their values,
    spreads and sources in columns of their own.
    """

    suite: str
    checkpoint: str
    steps_scale: float
    sde: str
    row: str
    column: str
    x: float | None
    title: str
    cell: str
    seed: int
    samples: int
    status: Status
    metric: str
    value: float | None
    error: float | None
    exact: float | None
    limit_at_tolerance_0: float | None
    floor: float | None
    note: str
    direction: str
    value_kind: str
    solver: str
    declared_order: float | None
    published: tuple[PublishedFigure, ...]
    nfe: float | None
    nfe_max: float | None
    seconds: float | None
    samples_per_second: float | None
    network_share: float | None
    fit_nfe: float | None
    fit_seconds: float | None
    peak_host_bytes: int | None
    peak_gpu_bytes: int | None
    batch_size: int
    device: str
    cpu: str
    cores: int | None
    host: str
    precision: str
    fingerprint: str
    bench: str | None
    torch: str | None
    commit: str | None
    dirty: bool | None
    reason: str

    @property
    def place(self) -> tuple[str, str, str]:
        """SDE, row and column: where the run's cell stands in the table."""
        return self.sde, self.row, self.column


def run_rows(plan: SuitePlan, records: Sequence[Record | None], matcher: Matcher) -> list[RunRow]:
    """One row per run of the plan and metric, in the plan's order.

    Args:
        plan: The planned suite.
        records: The record of each of ``plan.cells``, None where there is none.
        matcher: Finds the published figures of a run.
    """
    reasons = {metric: misfits(records, metric, plan.samples) for metric in plan.metrics}
    return [
        _run_row(
            plan,
            run,
            record,
            metric,
            reasons[metric].get(index, ""),
            matcher,
        )
        for index, (run, record) in enumerate(zip(plan.cells, records, strict=True))
        for metric in plan.metrics
        if metric not in run.unfit
    ]


def _run_row(
    plan: SuitePlan,
    run: PlannedRun,
    record: Record | None,
    metric: str,
    misfit: str,
    matcher: Matcher,
) -> RunRow:
    value = None if record is None or misfit else record.metrics.get(metric)
    cost = None if record is None else record.cost
    fit = None if record is None else record.fit
    provenance = None if record is None else record.provenance
    status: Status = "missing" if record is None else record.status
    return RunRow(
        suite=plan.suite,
        checkpoint=plan.checkpoint,
        steps_scale=plan.steps_scale,
        sde=run.sde,
        row=run.row,
        column=run.column,
        x=run.x,
        title=run.title,
        cell="" if record is None else record.cell,
        seed=run.seed,
        samples=plan.samples,
        status="missing" if status == "finished" and value is None else status,
        metric=metric,
        value=None if value is None else value.value,
        error=None if value is None else value.error,
        exact=None if value is None else value.exact,
        limit_at_tolerance_0=None if value is None else value.limit,
        floor=None if value is None else value.floor,
        note="" if value is None else value.note,
        direction="" if value is None else value.direction,
        value_kind="" if value is None else value.value_kind,
        solver="" if record is None or record.identity.solver is None else record.identity.solver.name,
        declared_order=None if record is None else record.declared_order,
        published=() if record is None or value is None else matcher.beside(record, metric),
        nfe=None if cost is None else cost.nfe,
        nfe_max=None if cost is None else cost.nfe_max,
        seconds=None if cost is None else cost.seconds,
        samples_per_second=None if cost is None else cost.samples_per_second,
        network_share=None if cost is None else cost.network_share,
        fit_nfe=None if fit is None else fit.nfe,
        fit_seconds=None if fit is None else fit.seconds,
        peak_host_bytes=None if cost is None else cost.peak_host_bytes,
        peak_gpu_bytes=None if cost is None else cost.peak_gpu_bytes,
        batch_size=plan.batch_size if record is None else record.identity.batch_size,
        device="" if record is None else record.identity.device,
        cpu="" if provenance is None else provenance.cpu,
        cores=None if provenance is None else provenance.cores,
        host="" if provenance is None else provenance.host,
        precision=plan.precision,
        fingerprint=run.fingerprint,
        bench=None if provenance is None else provenance.bench,
        torch=None if provenance is None else provenance.torch,
        commit=None if provenance is None else provenance.commit,
        dirty=None if provenance is None else provenance.dirty,
        reason=misfit or ("" if record is None else record.reason),
    )


def metric_records(records: Sequence[Record | None], metric: str) -> dict[int, MetricRecord]:
    """The values of a metric, by the index of their record."""
    return {
        index: record.metrics[metric]
        for index, record in enumerate(records)
        if record is not None and metric in record.metrics
    }


def misfits(records: Sequence[Record | None], metric: str, samples: int) -> dict[int, str]:
    """Indices of the values that do not belong in the metric's column, and why.

    A value does not belong where it is of another number of samples, or of other parameters or data than
    most values of that number (ties: the first).
    """
    values = metric_records(records, metric)
    reasons = {index: f"n {value.n}, not {samples}" for index, value in values.items() if value.n != samples}
    bases = {index: Basis.of(value) for index, value in values.items() if index not in reasons}
    keys = {index: basis.key for index, basis in bases.items()}
    counts = Counter(keys.values())
    # max takes the first of equal counts
    first = max(keys, key=lambda index: counts[keys[index]], default=None)
    common = None if first is None else bases[first]
    differences = {index: difference(basis, common) for index, basis in bases.items()}
    return reasons | {index: text for index, text in differences.items() if text}
