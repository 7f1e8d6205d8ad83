"""A recorded run in short: the same in `bench run`, `bench list runs` and `bench show`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.reporting.matching import Matcher
    from bench.reporting.published_figures import PublishedFigure
    from bench.results.record import Record
    from bench.results.store import Store
    from bench.types import JSONObject


@dataclasses.dataclass(frozen=True)
class MetricFacts:
    """A metric's value, as in `MetricRecord`, and the published figures of the same.

    ``published`` are those of the same checkpoint, data set, metric, sampler, grid, calls and guidance;
    ``published_elsewhere`` those of checkpoints that were asked for, of the same sampler, grid and calls.
    """

    value: float
    error: float | None
    exact: float | None
    limit: float | None
    n: int
    note: str
    direction: str
    value_kind: str
    published: list[PublishedFigure]
    published_elsewhere: list[PublishedFigure]


FIELDS = ("value", "error", "exact", "limit", "n", "note", "direction", "value_kind")
"""What the facts of a metric take from its record."""


@dataclasses.dataclass(frozen=True)
class Companionship:
    """A run that a metric reads, or one whose metric reads it (`Metric.companions`).

    Args:
        metric: Label of the metric.
        name: The metric's name for the run that it reads.
        fingerprint: The other run; None where it has no record in the folder.
    """

    metric: str
    name: str
    fingerprint: str | None


def companionships(record: Record, store: Store) -> tuple[list[Companionship], list[Companionship]]:
    """The runs that the metrics of a record read, and those whose metrics read its samples.

    Args:
        record: The record.
        store: Its results folder, in which the others are looked up.

    Returns:
        Both lists, in the order of the metrics and of the folder's records.
    """
    others = store.records()
    by_samples = {(one.key, one.samples): one.fingerprint for one in others}
    companions = [
        Companionship(label, name, by_samples.get((key, record.samples)))
        for label, metric in record.metrics.items()
        for name, key in metric.companions.items()
    ]
    read_by = [
        Companionship(label, name, other.fingerprint)
        for other in others
        if other.samples == record.samples
        for label, metric in other.metrics.items()
        for name, key in metric.companions.items()
        if key == record.key
    ]
    return companions, read_by


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What a record says in short, and where its files are.

    ``nfe`` is per sample, ``nfe_max`` of the sample with the most calls, None where all have as many,
    ``seconds`` are of the whole run. ``fit_nfe`` and ``fit_seconds`` are what the fit of its sampler cost, in
    all; None where nothing of it is fitted. ``samples_folder``, ``preview`` and ``log`` are
    None where there is no such file.
    """

    fingerprint: str
    status: str
    title: str
    checkpoint: str
    task: str
    sde: str
    predictor: str | None
    corrector: str | None
    solver: str | None
    samples: int
    seed: int
    created: str
    nfe: float | None
    nfe_max: float | None
    seconds: float | None
    fit_nfe: float | None
    fit_seconds: float | None
    metrics: dict[str, MetricFacts]
    reason: str
    record: str
    samples_folder: str | None
    batches: int
    batches_on_disk: int
    preview: str | None
    log: str | None

    def plain(self) -> JSONObject:
        """The facts as JSON data."""
        return dataclasses.asdict(self)


def run_facts(
    record: Record, store: Store, matcher: Matcher, others: Sequence[PublishedFigure] = ()
) -> RunFacts:
    """The facts of a record in a results folder.

    Args:
        record: The record.
        store: Its results folder.
        matcher: Finds the published figures of the same.
        others: Figures of other checkpoints, of which those that were sampled alike are shown.
    """
    cost, plugins = record.cost, record.identity.plugins()
    sizes = batch_sizes(record)
    present = sum(store.batch_path(record.key, *place).exists() for place in enumerate(sizes))
    preview = store.image_path(record.fingerprint)
    names = {role: plugins[role].name if role in plugins else None for role in SAMPLER}
    elsewhere = matcher.elsewhere(record, others, (record.identity.sde.name,))
    return RunFacts(
        fingerprint=record.fingerprint,
        status=record.status,
        title=record.title,
        checkpoint=record.identity.checkpoint.name,
        task=record.identity.task.name,
        sde=record.identity.sde.name,
        **names,
        samples=record.samples,
        seed=record.seed,
        created=record.created,
        nfe=None if cost is None else cost.nfe,
        nfe_max=None if cost is None else cost.nfe_max,
        seconds=None if cost is None else cost.seconds,
        fit_nfe=None if record.fit is None else record.fit.nfe,
        fit_seconds=None if record.fit is None else record.fit.seconds,
        metrics={
            label: MetricFacts(
                **{name: getattr(metric, name) for name in FIELDS},
                published=list(matcher.beside(record, label)),
                published_elsewhere=list(elsewhere),
            )
            for label, metric in record.metrics.items()
        },
        reason=record.reason,
        record=str(store.record_path(record.fingerprint)),
        samples_folder=str(store.samples_folder(record.key)) if present else None,
        batches=len(sizes),
        batches_on_disk=present,
        preview=str(preview) if preview.exists() else None,
        log=record.log or None,
    )


SAMPLER = ("predictor", "corrector", "solver")


def batch_sizes(record: Record) -> list[int]:
    """Samples of each batch; a failed run's are those that were planned."""
    if record.batches:
        return [batch.size for batch in record.batches]
    size = record.identity.batch_size
    return [min(size, record.samples - first) for first in range(0, record.samples, size)]
