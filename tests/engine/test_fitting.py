"""A fit: its file, its cost, its stop and its next command, and the record of a run that uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench
from bench import BenchError
from tests.support.fits import STOPS, Learner, Marks, fit_marks


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def test_the_artifact_says_what_it_is_of_and_what_it_cost() -> None:
    fit = fit_marks("a.json")
    facts = fit.facts
    assert fit.new
    assert (facts.plugin, facts.sampler, facts.steps, facts.nfe, facts.seed) == ("marks", "ddim", 3, 3, 1000)
    assert facts.fit_nfe == 4  # two calls for two samples; the first one of all is no part of it
    assert facts.fit_seconds > 0
    assert facts.values["times"] == [1.0, 0.5, 0.25]
    assert Path("a.json").read_bytes() == fit.artifact.content
    assert bench.Artifact.read(fit.artifact.plain) == fit.artifact


def test_the_same_fit_again_fits_nothing_and_another_is_refused() -> None:
    first = fit_marks("a.json")
    again = fit_marks("a.json")
    assert (again.new, again.artifact) == (False, first.artifact)
    for changes in ({"steps": 4}, {"seed": 1001}, {"samples": 3}, {"sde": "ve"}, {"predictor": "dpmpp_2m"}):
        with pytest.raises(BenchError, match=r"-o, or --overwrite: a\.json exists, with another "):
            fit_marks("a.json", **changes)
    assert fit_marks("a.json", steps=4, overwrite=True).facts.steps == 4
    Path("b.json").write_text("mine")
    with pytest.raises(BenchError, match=r"b\.json exists, and is no artifact of a fit"):
        fit_marks("b.json")
    assert Path("b.json").read_text() == "mine"


def test_a_file_of_a_fit_by_other_labels_precision_or_grid_is_another() -> None:
    def fit(plugin: bench.Fittable, **changes: object) -> bench.Fit:
        settings = {"steps": 3, "samples": 2, "checkpoint": "eight-gaussians", "sde": "vp", "device": "cpu"}
        return bench.fit(plugin, f"{plugin.name}.json", **(settings | changes))  # type: ignore[arg-type]

    assert fit(Marks()).facts.precision == "fp32"
    for change in ({"labels": "turn"}, {"precision": "bf16"}, {"convention": "rescaled"}):
        Path("marks.json").write_bytes(fit(Marks(), overwrite=True).facts.model_copy(update=change).content())
        with pytest.raises(BenchError, match=f"exists, with another {next(iter(change))}"):
            fit(Marks())
    assert fit(Learner(), grid="logsnr").facts.grid == "logsnr"
    assert not fit(Learner(), grid="logsnr").new
    with pytest.raises(BenchError, match="exists, with another grid"):
        fit(Learner())


def test_a_fit_that_is_stopped_goes_on_and_comes_to_the_same() -> None:
    whole = fit_marks("whole.json")
    STOPS.append(True)
    with pytest.raises(KeyboardInterrupt):
        fit_marks("a.json")
    assert not Path("a.json").exists()
    resumed = fit_marks("a.json")
    assert resumed.facts.values == whole.facts.values
    # the part before the stop is counted, and not made again
    assert resumed.facts.fit_nfe == whole.facts.fit_nfe
    assert sorted(path.name for path in Path().glob("*.json")) == ["a.json", "whole.json"]
    assert not list(Path().glob(".*.fit"))


def test_what_another_fit_left_is_not_used() -> None:
    STOPS.append(True)
    with pytest.raises(KeyboardInterrupt):
        fit_marks("a.json")
    assert fit_marks("a.json", seed=1001).facts.fit_nfe == 4
    Path(".b.json.fit").write_text("damaged")
    assert fit_marks("b.json").facts.fit_nfe == 4


@pytest.mark.parametrize("damage", [{"sums": "none"}, {"sums": [0.0]}, [], None, {}])
def test_what_the_same_fit_left_is_refused_where_it_is_damaged(damage: object) -> None:
    STOPS.append(True)
    with pytest.raises(KeyboardInterrupt):
        fit_marks("a.json")
    partial = Path(".a.json.fit")
    content = json.loads(partial.read_text())
    partial.write_text(json.dumps(content | {"state": damage}))
    with pytest.raises(
        BenchError, match=r"^\.a\.json\.fit, which the stopped fit left, is damaged: remove it"
    ) as refusal:
        fit_marks("a.json")
    assert "\n" not in str(refusal.value)
    partial.unlink()
    assert fit_marks("a.json").facts.fit_nfe == 4


def test_a_run_records_the_hash_and_the_cost() -> None:
    fit = fit_marks("a.json")
    grid = Marks(artifact=fit.artifact)
    settings = {"checkpoint": "gaussian-cifar10", "sde": "vp", "predictor": "ddim", "steps": 3, "samples": 4}
    (record,) = bench.run(**settings, grid=grid, profile="none", device="cpu").records  # type: ignore[arg-type]
    assert record.status == "finished", record.reason
    assert record.identity.grid is not None
    assert record.identity.grid.parameters["artifact"] == f"sha256:{fit.artifact.sha256}"
    assert record.fit is not None
    assert (record.fit.nfe, record.fit.seconds) == (fit.facts.fit_nfe, fit.facts.fit_seconds)
    other = Marks(artifact=fit_marks("b.json", seed=1001).artifact)
    (second,) = bench.run(**settings, grid=other, profile="none", device="cpu").records  # type: ignore[arg-type]
    assert second.fingerprint != record.fingerprint
    with pytest.raises(BenchError, match="was fitted on samples of seed 1000"):
        bench.run(**settings, grid=grid, seed=1000, profile="none", device="cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [[1.0], {"times": float("nan")}, {"times": object()}])
def test_what_a_plugin_returns_is_plain_data(values: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(self: Marks, work: bench.FitWork) -> object:
        del self, work
        return values

    monkeypatch.setattr(Marks, "fit", fit)
    with pytest.raises(BenchError, match=r"marks\.fit returned"):
        fit_marks("a.json")
    assert not Path("a.json").exists()
