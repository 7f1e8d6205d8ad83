"""The Python API: tables, comparisons and frames of results."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import bench
from tests.support.api_runs import Slope, fingerprints, run, run_suite
from tests.support.runs import computed_batches, forbid_batches


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)


def test_results_are_a_frame_images_and_a_page() -> None:
    results = run(predictor=["ddim", Slope], metric="fd_dct")
    frame = results.frame()
    assert frame["fingerprint"].tolist() == fingerprints(results)
    assert frame["value"].tolist() == [r.metrics["fd_dct"].value for r in results]
    images = results.images(results[1])
    assert (images.shape, images.dtype) == ((8, 3, 32, 32), torch.float32)
    assert not torch.equal(images, results.images(0))
    page = results._repr_html_()
    assert page.count("<tr") == 3
    for record in results:
        assert f"{record.metrics['fd_dct'].value:.4g}" in page


def test_a_suite_is_run_and_tabulated(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(run_suite(only=["vp ddim *"])) == 1
    (table,) = bench.table("mine", metric="fd_dct")
    assert not table.complete
    batches = computed_batches(monkeypatch)
    results = run_suite()
    assert len(batches) == 6  # the run of above is cached
    forbid_batches(monkeypatch)
    (table,) = bench.table("mine", metric="fd_dct")
    assert table.complete
    values = {(cell.sde, cell.row): cell.value for cell in table.cells}
    for record in results:
        assert record.identity.predictor is not None
        place = (record.identity.sde.name, record.identity.predictor.name)
        assert values[place] == record.metrics["fd_dct"].value
    assert not Path("tables").exists()
    bench.table("mine", to="tables", plots=False)
    assert {path.suffix for path in Path("tables/mine").rglob("*.*")} == {".csv", ".md", ".tex"}


def test_two_runs_are_compared() -> None:
    run(predictor=["ddim", Slope], samples=16)
    a, b = run(predictor="ddim", samples=16, out="a"), run(predictor=Slope, samples=16, out="b")
    comparison = bench.compare(a[0].fingerprint, b[0].fingerprint, metrics=["fd_dct"])
    (row,) = [row for row in comparison.rows if row.metric == "fd_dct"]
    assert row.estimate.difference == pytest.approx(
        b[0].metrics["fd_dct"].value - a[0].metrics["fd_dct"].value
    )
    (own,) = [row for row in bench.compare(a, "a").rows if row.metric == "fd_dct"]
    assert own.estimate.difference == 0
