"""What the checks say of their power is what the committed table says."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from bench.testing.power import POWER, power_of
from tests.support.checks import report
from tests.support.paths import ROOT
from tests.support.samplers import Sound

TABLE = Path(ROOT) / "results/reference/check_power.csv"


def test_the_sizes_are_those_of_the_table() -> None:
    """The smallest size that every run found, and no mistake of size 0."""
    sizes_of: dict[str, dict[tuple[str, str], float]] = {}
    with TABLE.open() as lines:
        for row in csv.DictReader(lines):
            size, every = float(row["size"]), row["found"] == row["runs"]
            assert size > 0 or row["found"] == "0"
            if every:
                sizes = sizes_of.setdefault(row["check"], {})
                key = (row["sampler"], row["mistake"])
                sizes[key] = min(size, sizes.get(key, size))
    assert sizes_of == POWER


def test_findings_say_it() -> None:
    assert power_of("convergence, vp").startswith("finds drift off by 1 % (no noise)")
    assert power_of("memory") == ""
    plain: Any = report(Sound()).plain()
    findings = {one["name"]: one for one in plain["findings"]}
    assert findings["uneven steps, vp"]["power"] == power_of("convergence, vp")
