"""Reports of the conformance kit: strict JSON, failures, text."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from bench.testing.report import Finding, Point, Report, error_text, guard, verdict


def example() -> Report:
    """A report with a finding of each status and figures that JSON has no number for."""
    findings = [
        verdict("batch", True, "halves agree", "independent", off=0.0),
        verdict("order", False, "order 1", "order 2", errors=[float("nan"), 0.5], declared=None),
        Finding("own time", "info", "9 us", numbers={"ratio": float("inf")}),
    ]
    return Report("predictor", "mine", {"order": 2}, findings, [Point("mine", "vp", 5, 10, np.float64(0.25))])


def test_a_report_passes_without_failures() -> None:
    report = example()
    assert [finding.name for finding in report.failures] == ["order"]
    assert not report.passed
    report.findings.remove(report.failures[0])
    assert report.passed


def test_plain_data_is_strict_json() -> None:
    plain = json.loads(json.dumps(example().plain(), allow_nan=False))
    assert plain["passed"] is False
    assert plain["parameters"] == {"order": 2}
    assert [finding["numbers"] for finding in plain["findings"]] == [
        {"off": 0.0},
        {"errors": [None, 0.5], "declared": None},
        {"ratio": None},
    ]
    assert plain["points"] == [{"sampler": "mine", "sde": "vp", "steps": 5, "nfe": 10, "error": 0.25}]


def test_as_text_it_has_a_line_for_each_finding() -> None:
    assert str(example()).splitlines() == [
        "predictor mine",
        "  pass batch: halves agree (required: independent)",
        "  fail order: order 1 (required: order 2)",
        "  info own time: 9 us",
    ]


def test_an_exception_in_a_check_is_a_failure_after_what_it_found_before() -> None:
    def check() -> Iterator[Finding]:
        yield verdict("first", True, "fine", "fine")
        raise ValueError("two\nlines")

    first, second = guard("second", check)
    assert (first.name, first.status) == ("first", "pass")
    assert (second.name, second.status, second.measured) == ("second", "fail", "ValueError: two lines")


def test_an_error_in_one_line() -> None:
    assert error_text(RuntimeError("a\n  b")) == "RuntimeError: a b"
