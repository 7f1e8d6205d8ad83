"""Role Logger: passes the records of runs on, to an experiment tracker for example."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from bench.errors import one_line
from bench.events import Emit, Notice
from bench.params import Plugin
from bench.results.record import Record
from bench.results.store import Store


@dataclasses.dataclass(frozen=True)
class RecordedRun:
    """What a logger receives of a run.

    Args:
        record: The record of the run, finished or failed; a copy.
        folder: The results folder. A logger that writes files has a folder of its own in it by default.
        preview: The picture of the first samples, a PNG; None where the run has none.
    """

    record: Record
    folder: Path
    preview: Path | None = None


class Logger(Plugin):
    """Receives the records of runs.

    The engine calls `log` once per command for every run of the command: when its record is written, or at
    once where the record is on disk already. The same record may thus come again in a later command, with
    more metrics perhaps; what a logger writes of it takes the place of what it wrote before. ``fingerprint``
    tells runs apart. A run's result never depends on a logger: an error in it becomes a line of warning.
    """

    def check(self) -> None:
        """Check, before any run, that the logger can work here; write nothing.

        Raises:
            BenchError: It can't, such as without its library; the message says what to do.
        """

    @abstractmethod
    def log(self, run: RecordedRun) -> None:
        """Pass on a record.

        Args:
            run: The record, and where its files are.
        """


class Loggers:
    """The loggers of a command. Their errors are reported and go no further.

    Args:
        loggers: The loggers.
        store: The results folder.
        emit: Receives a line at the first error of each logger, and one in `close` if there were more.
    """

    def __init__(self, loggers: Sequence[Logger], store: Store, emit: Emit) -> None:
        self.loggers = tuple(loggers)
        self.store = store
        self.emit = emit
        self._errors = dict.fromkeys((logger.name for logger in self.loggers), 0)
        self._logged: set[str] = set()

    def log(self, record: Record) -> None:
        """Pass a record on to every logger; the record of a run at two places of a table once.

        Args:
            record: The record.
        """
        if record.fingerprint in self._logged:
            return
        self._logged.add(record.fingerprint)
        preview = self.store.image_path(record.fingerprint)
        for logger in self.loggers:
            run = RecordedRun(
                record.model_copy(deep=True), self.store.root, preview if preview.is_file() else None
            )
            try:
                # standard output is the command's own: --json prints one document there
                with contextlib.redirect_stdout(sys.stderr):
                    logger.log(run)
            except (Exception, SystemExit) as error:
                self._report(logger, record, error)

    def close(self) -> None:
        """Report how many records each logger missed, where it was more than one."""
        for name, errors in self._errors.items():
            if errors > 1:
                text = f"logger {name} missed {errors} of {len(self._logged)} records in all"
                self.emit(Notice(f"{text}: the same command passes them on again"))

    def _report(self, logger: Logger, record: Record, error: BaseException) -> None:
        self._errors[logger.name] += 1
        if self._errors[logger.name] == 1:
            reason = f"{type(error).__name__}: {one_line(error)}"
            text = f"logger {logger.name} failed on {record.label}: {reason}"
            self.emit(Notice(f"{text}; results are not affected"))
