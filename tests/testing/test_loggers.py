"""The conformance kit passes sound loggers and catches each mistake by the check that is for it."""

from __future__ import annotations

import pytest

from bench import Logger, assert_conforms
from bench.testing.executors import planned_runs
from bench.testing.loggers import records_of_every_kind
from tests.support.checks import context, failures, report
from tests.support.loggers import (
    Absent,
    Appends,
    Changes,
    Fails,
    FailsWithoutCost,
    Pages,
    Prints,
    Removes,
)
from tests.support.plugins import installed


def test_a_sound_logger_passes() -> None:
    assert_conforms(Pages, registry=installed())


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (Fails, {"every kind of record", "the same records again"}),
        (FailsWithoutCost, {"every kind of record", "the same records again"}),
        (Absent, {"every kind of record", "the same records again"}),
        (Appends, {"the same records again"}),
        (Prints, {"standard output"}),
        (Changes, {"records"}),
        (Removes, {"files of bench"}),
    ],
)
def test_a_mistaken_logger_is_caught(mistaken: type[Logger], caught: set[str]) -> None:
    assert failures(mistaken) == caught


def test_an_error_is_shown_with_the_kind_of_record() -> None:
    (finding, *_) = report(FailsWithoutCost).failures
    assert finding.measured.startswith("a failed run: AssertionError")


def test_the_records_are_of_every_kind() -> None:
    records = records_of_every_kind(*planned_runs(context()))
    assert {record.status for record in records.values()} == {"finished", "failed"}
    values = [metric.value for record in records.values() for metric in record.metrics.values()]
    assert min(values) < 0
    assert max(values) > 1e6
    assert any(record.status == "finished" and not record.metrics for record in records.values())
    assert len({record.fingerprint for record in records.values()}) == len(records)
