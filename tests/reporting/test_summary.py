"""The table at the end of a run."""

from __future__ import annotations

from typing import Any

import pytest

from bench.reporting.summary import fits, metric_notes, notes, over_samples, spread, summary_layout
from bench.results.record import Cost, Record
from tests.support import made_up
from tests.support.made_up import metric_record


def record(seed: int, value: float, **changes: Any) -> Record:
    """A finished record of one cell."""
    fields = {"value": value, "n": 200, "error": 0.5, "exact": None} | changes
    cost = Cost(nfe=20, seconds=2.0, samples_per_second=100.0 + seed, network_share=0.975, warm_seconds=0.0)
    return made_up.record(
        seed=seed, title="net · vp · em, 20 steps", metrics={"fd": metric_record(**fields)}, cost=cost
    )


def rows(*records: Record) -> list[dict[str, str]]:
    """The summary's lines by the names of their columns."""
    layout = summary_layout(records)
    return [dict(zip(layout.header, (entry.plain for entry in line), strict=True)) for line in layout.lines]


def test_spread_is_mean_and_sample_deviation() -> None:
    assert spread([2.0]) == spread([2.0, 2.0]) == "2"
    assert spread([1.0, 2.0, 3.0]) == "2 ± 1 (std over 3 seeds)"


def test_seeds_are_one_row_and_neither_error_is_called_the_other() -> None:
    (row,) = rows(record(0, 1.0), record(1, 3.0))
    assert row["sampler"] == "net · vp · em, 20 steps"
    assert row["value"] == "2 ± 1.4 (std over 2 seeds), standard error of each over its samples 0.5"
    assert (row["samples"], row["NFE per sample"], row["in network"]) == ("200", "20", "97.5 %")
    assert "exact" not in row
    (row,) = rows(record(0, 1.0, exact=1.25))
    assert (row["value"], row["exact"]) == ("1 ± 0.5 (standard error over samples)", "1.25")
    (row,) = rows(record(0, 1.0, limit=1.25))
    assert row["limit at tolerance 0"] == "1.25"
    assert "exact" not in row


def test_cells_are_told_apart_by_their_settings_and_not_by_their_titles() -> None:
    other = made_up.record(index=1, seed=0, title="net · vp · em, 20 steps")
    assert len(rows(record(0, 1.0), other)) == 2


def test_failed_runs_have_no_row_and_daggers_are_explained() -> None:
    failed = made_up.failed_record()
    flagged = record(1, 1.0, note="n below 1000", error=None)
    (row,) = rows(failed, flagged)
    assert row["value"] == "1 †"
    assert [n.startswith("† fd: n below 1000") for n in notes([failed, flagged])] == [True]
    assert rows(failed) == []


@pytest.mark.parametrize(
    ("value", "bias", "lines"), [(-0.1, "none", 1), (0.1, "none", 0), (-0.1, "upwards", 0)]
)
def test_a_negative_value_is_explained_where_its_bias_is_subtracted(
    value: float, bias: str, lines: int
) -> None:
    assert sum("fd below zero" in note for note in notes([record(0, value, bias=bias)])) == lines


def test_intervals_and_fits_are_those_of_the_details() -> None:
    fit = {"value": 1.5, "slope": -30.0, "points": [[10, 2.0], [80, 1.6]], "r2": 0.9, "fit_error": 0.1}
    details = {"interval": {"low": 0.9, "high": 1.1}, "fit": fit, "at_n": 1.6}
    value = metric_record(error=None, details=details)
    assert over_samples([value]) == ", 95 % interval over samples 0.9 to 1.1"
    assert over_samples([value, value]) == ""
    (line,) = fits({"fd": value})
    assert line.startswith("fd: 1.5 - 30 / n, fitted to 2 sizes from n = 10 to 80: R^2 0.9")
    assert fits({"fd": metric_record()}) == []
    assert metric_notes({"fd": value}) == []
