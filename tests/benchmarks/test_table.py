"""``bench table`` on 1,000 records, in a process of its own, as a user starts it: `pytest tests/benchmarks`.

What it costs without records (a suite of one cell) is taken too: the rest is libraries loading.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.results.store import Store
from tests.support.made_up import fill, suite_plan


@pytest.mark.parametrize("records", [1, 1000])
def test_table(benchmark: Any, tmp_path: Path, records: int) -> None:
    plan = suite_plan("nfe", seeds=6)
    plan = plan.model_copy(update={"cells": plan.cells[:records]})
    fill(Store(tmp_path / "results"), plan)
    assert len(list((tmp_path / "results" / "records").iterdir())) == records

    def table() -> None:
        command = [sys.executable, "-c", "from bench.cli import main; main(['table', 'nfe'])"]
        subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)

    benchmark.pedantic(table, rounds=3, iterations=1)
