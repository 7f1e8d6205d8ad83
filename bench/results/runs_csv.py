"""runs.csv: a row per record and metric."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable

from bench.files import csv_cell
from bench.results.record import MetricRecord, Record

# fmt: off
COLUMNS = (
    "fingerprint", "cell", "status", "title", "task", "checkpoint", "sde", "predictor", "corrector", "solver",
    "steps", "grid", "order", "label_scales", "afs", "denoise", "parameters", "samples", "batch_size",
    "seed", "nfe", "nfe_max", "metric", "value", "error", "exact", "limit_at_tolerance_0", "floor", "note",
    "direction", "value_kind", "samples_per_second", "network_share", "seconds", "peak_host_bytes",
    "peak_gpu_bytes", "fit_nfe", "fit_seconds", "device", "cpu", "cores", "host", "precision", "compile",
    "torch", "created", "commit", "dirty", "reason",
)
# fmt: on


def runs_csv(records: Iterable[Record]) -> bytes:
    """The content of runs.csv: a header, and the `rows` of each record."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows(record))
    return text.getvalue().encode()


def rows(record: Record) -> list[dict[str, object]]:
    """Rows of runs.csv for a record: one per metric, or one in all where the run failed."""
    identity, provenance, cost = record.identity, record.provenance, record.cost
    plugins = identity.plugins()
    parameters = {role: plugin.parameters for role, plugin in plugins.items() if plugin.parameters}
    common: dict[str, object] = {
        **record.model_dump(include={"fingerprint", "status", "title", "samples", "created", "reason"}),
        **identity.model_dump(exclude={"checkpoint", "data", *plugins}, exclude_none=True),
        **{role: plugin.name for role, plugin in plugins.items()},
        **({} if cost is None else cost.model_dump()),
        **({} if record.fit is None else {f"fit_{key}": value for key, value in record.fit}),
        "nfe": "" if cost is None else f"{cost.nfe:g}",
        "nfe_max": "" if cost is None or cost.nfe_max is None else f"{cost.nfe_max:g}",
        "cell": record.cell,
        "checkpoint": identity.checkpoint.name,
        "parameters": json.dumps(parameters, sort_keys=True),
        **provenance.model_dump(include={"cpu", "cores", "host"}),
        "commit": provenance.commit,
        "dirty": provenance.dirty,
    }
    metrics: list[tuple[str, MetricRecord | None]] = [*record.metrics.items()] or [("", None)]
    return [
        common | ({} if result is None else {"metric": label, **_result_columns(result)})
        for label, result in metrics
    ]


def _result_columns(result: MetricRecord) -> dict[str, object]:
    names = ("value", "error", "exact", "floor", "note", "direction", "value_kind")
    return {name: getattr(result, name) for name in names} | {"limit_at_tolerance_0": result.limit}
