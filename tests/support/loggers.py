"""Loggers for tests: sound ones, and ones with a mistake each."""

from __future__ import annotations

import json
from typing import NoReturn

from bench import BenchError, Logger, RecordedRun, param
from bench.cli.console import echo


class Pages(Logger):
    """A file per run, which a record that comes again replaces."""

    name = "pages"

    folder: str = param(default="pages", help="name of the folder in the results folder")

    def log(self, run: RecordedRun) -> None:
        folder = run.folder / self.folder
        folder.mkdir(exist_ok=True)
        record = run.record
        plain = {"status": record.status, "metrics": list(record.metrics), "preview": run.preview is not None}
        (folder / f"{record.fingerprint}.json").write_text(json.dumps(plain))


class Fails(Logger):
    """Raises at every record."""

    name = "fails"

    def log(self, run: RecordedRun) -> NoReturn:
        raise ConnectionError(f"no tracker\nanswers for {run.record.fingerprint}")


class Exits(Logger):
    """Ends the process, as libraries do that can't go on."""

    name = "exits"

    def log(self, run: RecordedRun) -> NoReturn:
        raise SystemExit("no account")


class Absent(Logger):
    """Its library is not installed."""

    name = "absent"

    def check(self) -> NoReturn:
        raise BenchError("the logger absent needs a library: pip install it")

    def log(self, run: RecordedRun) -> None:
        raise AssertionError("a record came")


class FailsWithoutCost(Pages):
    """Takes finished runs alone."""

    name = "fails_without_cost"

    def log(self, run: RecordedRun) -> None:
        assert run.record.cost is not None


class Appends(Logger):
    """Adds a line to a file, the second time too."""

    name = "appends"

    def log(self, run: RecordedRun) -> None:
        with open(run.folder / "log.txt", "a") as file:
            file.write(f"{run.record.title}\n")


class Prints(Pages):
    """Prints on standard output."""

    name = "prints"

    def log(self, run: RecordedRun) -> None:
        echo(f"logged {run.record.fingerprint}")


class Changes(Pages):
    """Adds to the record that it receives."""

    name = "changes"

    def log(self, run: RecordedRun) -> None:
        run.record.exact["fd_dct"] = 0.0


class Removes(Pages):
    """Removes the preview that it has passed on."""

    name = "removes"

    def log(self, run: RecordedRun) -> None:
        if run.preview is not None:
            run.preview.unlink()
