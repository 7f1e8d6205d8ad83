"""The results of a call, for programs and notebooks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import BenchError
from bench.reporting.results_view import Results
from bench.results.record import BatchFacts, BatchRecord
from bench.results.store import Store
from tests.support.made_up import METRIC, failed_record, identity, record


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """A finished run of two batches of images, and a failed one."""
    store = Store(tmp_path)
    batches = tuple(BatchRecord(size=2, nfe=10, seconds=1.0, network_seconds=0.5) for _ in range(2))
    finished = record(0, samples=4, batches=batches, identity=identity(batch_size=2))
    facts = BatchFacts(nfe=10, seconds=1.0, network_seconds=0.5, warm_seconds=0.0)
    for index in range(2):
        images = torch.full((2, 3, 4, 4), float(index))
        store.write_batch(finished.key, index, 2, {"images": images}, facts)
    return Results([finished, failed_record(1)], store)


def test_results_are_records_in_order(results: Results) -> None:
    assert [r.status for r in results] == ["finished", "failed"]
    assert (len(results), results[1].reason, results.failed) == (
        2,
        "ValueError: it broke | here",
        [results[1]],
    )
    assert repr(results) == f"Results(1 finished, 1 failed, in {results.store.root})"


def test_a_frame_has_a_row_per_run_and_metric(results: Results) -> None:
    frame = results.frame()
    assert frame["metric"].tolist()[0] == METRIC
    assert frame["status"].tolist() == ["finished", "failed"]
    assert frame["cell"].tolist() == [r.cell for r in results]


def test_a_runs_images_are_those_of_its_batches(results: Results) -> None:
    for run in (0, results[0].fingerprint, results[0]):
        images = results.images(run)
        assert images.shape == (4, 3, 4, 4)
        assert images[:, 0, 0, 0].tolist() == [0, 0, 1, 1]
    with pytest.raises(BenchError, match="failed: ValueError: it broke"):
        results.images(1)
    with pytest.raises(BenchError, match="fingerprint of 0 of these runs"):
        results.images("abc")


def test_a_notebook_draws_values_and_failures(results: Results) -> None:
    page = results._repr_html_()
    assert METRIC in page
    assert "failed: cell 1 · seed 0: ValueError: it broke | here" in page
