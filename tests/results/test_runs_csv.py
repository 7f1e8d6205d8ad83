"""Rows of runs.csv."""

from __future__ import annotations

import csv

from bench.results.runs_csv import COLUMNS, runs_csv
from tests.support.made_up import record


def test_a_record_has_a_row_per_metric_and_a_failed_one_still_has_one() -> None:
    finished, failed = record(), record(status="failed", metrics={}, cost=None, reason="=it broke")
    lines = list(csv.DictReader(runs_csv([finished, failed]).decode().splitlines()))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == len(finished.metrics) + 1
    for line, (label, result) in zip(lines[:-1], finished.metrics.items(), strict=True):
        assert (line["metric"], float(line["value"])) == (label, result.value)
    assert (lines[-1]["status"], lines[-1]["nfe"], lines[-1]["reason"]) == ("failed", "", "'=it broke")
