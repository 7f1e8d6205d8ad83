"""``bench check`` of plugins that can be fitted."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import bench
from bench import Fittable, FitWork, Step
from bench.testing.kit import checks_of
from bench.testing.report import Finding
from tests.support.fits import Jump, Learner, Marks
from tests.support.plugins import installed

NAMES = ["parameters", "fit", "same each time", "use"]


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


class Scaled(Learner):
    """DDIM's step with a factor that the network's answer at T decides."""

    name = "scaled"

    def fit(self, work: FitWork) -> dict[str, object]:
        law = work.sampler.sde
        answer = work.prediction(0).denoised(work.prior(0) * law.prior_std, law.at(law.end))
        return {"factor": 1 + 0 * float(answer.mean())}


class Infinite(Scaled):
    """Its artifact makes samples that are not finite."""

    name = "infinite"

    def fit(self, work: FitWork) -> dict[str, object]:
        return super().fit(work) | {"factor": 1e300}


class Miscounted(Scaled):
    """Declares a call more than it makes."""

    name = "miscounted"

    def nfe(self, schedule: Sequence[Step]) -> int:
        return len(schedule) + 1


class Forgetful(Scaled):
    """Does not read its artifact as it wrote it."""

    name = "forgetful"

    def coefficients(self, step: Step) -> tuple[float, float, float]:
        return float(self.fit_values()["share"]), 0.0, 0.0  # type: ignore[arg-type]


@pytest.mark.parametrize("plugin", [Scaled(), Jump()])
def test_a_fitted_predictor_or_solver_is_fitted_and_run(plugin: Fittable) -> None:
    report = bench.check(plugin, registry=installed())
    assert [finding.name for finding in report.findings] == NAMES
    assert report.passed, report.failures
    calls = 1 if isinstance(plugin, Jump) else 5
    assert f"with {calls} network calls" in report.findings[-1].measured


def test_with_an_artifact_it_is_judged_as_any_sampler(tmp_path: Path) -> None:
    settings = {"checkpoint": "eight-gaussians", "sde": "vp", "steps": 5, "samples": 4, "device": "cpu"}
    fit = bench.fit(Scaled(), tmp_path / "a.json", **settings)  # type: ignore[arg-type]
    findings = checks_of(Scaled(artifact=fit.artifact), installed(), ["vp"])
    names = [finding.name for finding in itertools.islice(findings, 3) if isinstance(finding, Finding)]
    assert names == ["parameters", "shape, precision, device", "finite at 10 steps"]


@pytest.mark.parametrize(
    ("plugin", "failures"),
    [
        (Chance(), NAMES[2:]),
        (Idle(), NAMES[1:2]),
        (Infinite(), NAMES[3:]),
        (Miscounted(), NAMES[3:]),
        (Forgetful(), NAMES[3:]),
    ],
)
def test_what_breaks_a_rule_fails(plugin: Fittable, failures: list[str]) -> None:
    report = bench.check(plugin, registry=installed())
    assert [finding.name for finding in report.failures] == failures
