"""``bench check`` of plugins that can be fitted."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

import bench
from bench import FitWork
from tests.support.fits import Marks
from tests.support.plugins import installed

NAMES = ["fit", "same each time", "use"]


@pytest.mark.parametrize("name", ["gits", "learned_times"])
def test_the_fitted_grids_pass(name: str) -> None:
    small = {"gits": {"nodes": 12}, "learned_times": {"nodes": 12, "iterations": 1}}
    report = bench.check(name, registry=installed(), **small[name])  # type: ignore[arg-type]
    assert [finding.name for finding in report.findings] == NAMES
    assert report.passed, report.failures


class Chance(Marks):
    """Finds other times each time, which rise."""

    name = "chance"
    count = 0

    def fit(self, work: FitWork) -> Mapping[str, object]:
        type(self).count += 1
        work.prediction(0).denoised(work.prior(0), work.sampler.sde.at(1.0))
        return {"times": [1.0 + self.count + i for i in range(work.sampler.steps)]}


class Idle(Marks):
    """Calls no network."""

    name = "idle"

    def fit(self, work: FitWork) -> Mapping[str, object]:
        return {"times": [1.0 / (1 + i) for i in range(work.sampler.steps)]}


@pytest.mark.parametrize(("plugin", "failures"), [(Chance(), NAMES[1:]), (Idle(), NAMES[:1])])
def test_what_breaks_a_rule_fails(plugin: Marks, failures: list[str]) -> None:
    report = bench.check(plugin, registry=installed())
    assert [finding.name for finding in report.failures] == failures
