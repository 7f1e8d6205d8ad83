"""The docs list every key of the JSON that commands print."""

from __future__ import annotations

import dataclasses
import re

from bench.diffusion.fitting import FitFacts
from bench.plan.dry_run import DryRun, DryRunEntry
from bench.plan.forecast import Forecast
from bench.reporting.page.report import PageReport
from bench.reporting.published_figures import COLUMNS
from bench.reporting.run_facts import MetricFacts, RunFacts
from bench.reporting.table import Cell
from tests.support.made_up import cell, table
from tests.support.pages import page


def keys(command: str) -> set[str]:
    """The keys that the row of a command names."""
    lines = page("docs/reference/json.md").splitlines()
    (row,) = [line for line in lines if line.startswith(f"| `{command}` |")]
    return set(re.findall(r"`(\w+)`", row.split("|", 2)[2]))


def names(*classes: type) -> set[str]:
    """The fields of dataclasses."""
    return {field.name for one in classes for field in dataclasses.fields(one)}


def test_the_page_names_every_key() -> None:
    assert keys("bench run --json") == names(RunFacts, MetricFacts) | {"runs", "finished", "failed"}
    report = DryRun((), 0.0, Forecast(0, []))
    dry = set(report.plain()) | names(DryRunEntry) - {"run"} | {"fingerprint", "label", "samples"}
    assert keys("bench run --dry-run --json") == dry
    assert keys("bench published --json") == {*COLUMNS, "figures", "published", "published_elsewhere"}
    assert keys("bench fit --json") == {*FitFacts.model_fields, "file", "sha256", "new"} - {"schema_version"}
    assert keys("bench report --json") == names(PageReport)
    assert keys("bench table --json") == set(table(cell()).plain()) | names(Cell) | {"tables"}
