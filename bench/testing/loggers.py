"""Whether a logger takes every kind of record, leaves the files of bench alone, and writes a record once."""

from __future__ import annotations

import contextlib
import datetime
import functools
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from PIL import Image

from bench.results.loggers import Logger, RecordedRun
from bench.results.provenance import provenance
from bench.results.record import Cost, MetricRecord, Record
from bench.results.run_spec import RunSpec
from bench.results.store import Store
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.executors import planned_runs
from bench.testing.report import Finding, error_text, guard, verdict

GROWTH = 1.5
"""Bound of the ratio of a logger's bytes after the same records came twice to those after once: the ratio is
1 where the second time replaces the first, and 2 where it adds to it."""


class LoggerCheck:
    """A logger under check, and a results folder with a record of every kind.

    Args:
        logger: The logger.
        context: Where the runs come from.
        root: An empty folder.
    """

    def __init__(self, logger: Logger, context: CheckContext, root: Path) -> None:
        self.logger = logger
        self.root = root
        self.records = records_of_every_kind(*planned_runs(context))
        store = Store(root)
        picture = io.BytesIO()
        Image.new("RGB", (8, 8), (200, 100, 50)).save(picture, "PNG")
        for record in self.records.values():
            store.write_record(record)
            if record.status == "finished":
                store.write_image(record.fingerprint, picture.getvalue())
        self.files_of_bench = self._files()

    def log(self, record: Record) -> str:
        """Pass the record on; what the logger printed on standard output."""
        preview = Store(self.root).image_path(record.fingerprint)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.logger.log(RecordedRun(record, self.root, preview if preview.exists() else None))
        return printed.getvalue()

    def own_bytes(self) -> int:
        """Size of all files in the folder that are the logger's."""
        files = self._files()
        return sum(len(content) for path, content in files.items() if path not in self.files_of_bench)

    def changed_files(self) -> list[str]:
        """Names of bench's own files that are not as they were."""
        files = self._files()
        return sorted(
            path.name for path, content in self.files_of_bench.items() if files.get(path) != content
        )

    def _files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(self.root.rglob("*")) if path.is_file()}


def records_of_every_kind(first: RunSpec, second: RunSpec) -> dict[str, Record]:
    """Records as runs leave them, by what is special about each.

    Args:
        first: A run.
        second: Another one.
    """

    def record(run: RunSpec, values: Mapping[str, float]) -> Record:
        return Record(
            fingerprint=run.fingerprint,
            key=run.key,
            title=run.title,
            status="finished",
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            samples=run.samples,
            outputs=tuple(run.task.outputs),
            identity=run.identity,
            provenance=provenance(),
            metrics={name: MetricRecord(metric=name, value=v, n=run.samples) for name, v in values.items()},
            cost=Cost(
                nfe=10.5, nfe_max=12, seconds=2, samples_per_second=36, network_share=0.9, warm_seconds=0
            ),
        )

    finished = record(first, {"fd_dct": 0.25})
    failure: dict[str, object] = {"status": "failed", "metrics": {}, "cost": None}
    failure["reason"] = "ValueError: the reason"
    return {
        "a finished run": finished,
        "values below 0 and above a million": record(second, {"mmd": -1e-12, "kid": 4.5e6}),
        "a run without metrics": finished.model_copy(update={"fingerprint": "e" * 16, "metrics": {}}),
        "a failed run": finished.model_copy(update={"fingerprint": "f" * 16} | failure),
    }


def check_logger(logger: Logger, context: CheckContext) -> Iterator[Finding]:
    """All checks."""
    yield from guard("parameters", lambda: parameters(logger))
    with tempfile.TemporaryDirectory(prefix="bench-check-") as folder:
        case = LoggerCheck(logger, context, Path(folder))
        checks: tuple[tuple[str, Callable[[LoggerCheck], Iterator[Finding]]], ...] = (
            ("every kind of record", every_kind),
            ("the same records again", again),
            ("files of bench", files_of_bench),
        )
        for name, check in checks:
            yield from guard(name, functools.partial(check, case))


def every_kind(case: LoggerCheck) -> Iterator[Finding]:
    """Each kind of record passes without an error, without a print, and stays as it is."""
    case.logger.check()
    printed, wrong = "", ""
    changed: list[str] = []
    begin = time.perf_counter()
    for kind, record in case.records.items():
        before = record.model_dump_json()
        try:
            printed = printed or case.log(record)
        except Exception as error:
            wrong = wrong or f"{kind}: {error_text(error)}"
        changed += [kind] if record.model_dump_json() != before else []
    seconds = (time.perf_counter() - begin) / len(case.records)
    required = f"{len(case.records)} kinds without an error"
    yield verdict("every kind of record", not wrong, wrong or required, required)
    measured = f"changed the record of {changed[0]}" if changed else "all as they were"
    yield verdict("records", not changed, measured, "a logger changes no record")
    line = printed.split("\n")[0][:80]
    measured = f"printed {line!r}" if printed else "printed nothing"
    yield verdict("standard output", not printed, measured, "prints nothing: bench run --json prints there")
    text = f"{seconds:.2g} s per record, in which no batch is computed"
    yield Finding("own time", "info", text, numbers={"seconds": seconds})


def again(case: LoggerCheck) -> Iterator[Finding]:
    """A record that comes again replaces what was written of it."""
    before = case.own_bytes()
    for record in case.records.values():
        case.log(record)
    after = case.own_bytes()
    measured = f"{before} bytes, then {after}" if before else "writes no file of the results folder"
    required = "what is written of a record replaces what was written before"
    yield verdict("the same records again", after <= GROWTH * before, measured, required)


def files_of_bench(case: LoggerCheck) -> Iterator[Finding]:
    """Records and previews on disk are as they were."""
    changed = case.changed_files()
    measured = f"{changed[0]} was changed" if changed else "all as they were"
    yield verdict("files of bench", not changed, measured, "records and previews stay as they are")
