"""A short run of each fuzzer; the corpus itself is read without a complaint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import images, records, settings
from tests.fuzz.harness import MakeCase, fuzz

SHORT = 8.0
"""Seconds of a short run, after its process has begun."""


@pytest.mark.parametrize("make_case", [settings.make_case, images.make_case, records.make_case])
def test_a_short_run_has_no_failure(make_case: MakeCase, tmp_path: Path) -> None:
    count, faults = fuzz(make_case, seed=0, seconds=SHORT, failures=tmp_path)
    assert count > 1
    assert not faults, "\n".join(f"case {number}: {fault}" for number, fault in faults.items())
