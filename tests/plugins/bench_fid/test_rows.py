"""Metrics of rows: the rows of a reference, and a sample of the rows of a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError, Features, Reference
from bench.metrics.reference import write_statistics
from bench_fid.kid import KID
from bench_fid.rows import RowSample
from tests.support.metrics import metric_context


def features(values: Any) -> Features:
    """Features of rows."""
    return Features(torch.as_tensor(np.asarray(values, dtype=np.float32)))


def test_a_short_stream_is_kept_whole_and_in_order() -> None:
    sample = RowSample(10)
    for part in np.split(np.arange(12.0).reshape(6, 2), 3):
        sample.update(features(part))
    assert sample.n == 6
    assert np.array_equal(sample.rows(2, "kid"), np.arange(12.0).reshape(6, 2))
    assert sample.rows(2, "kid").dtype == np.float64


def test_a_long_stream_is_sampled_and_counted() -> None:
    sample = RowSample(10)
    for start in range(0, 100, 20):
        sample.update(features(np.arange(start, start + 20)[:, None]))
    rows = sample.rows(2, "kid")[:, 0]
    assert (sample.n, len(rows), len(set(rows))) == (100, 10, 10)
    assert rows.max() > 20  # not the first ones alone


def test_too_few_rows_and_rows_that_are_not_finite_are_refused() -> None:
    sample = RowSample(10)
    sample.update(features([[1.0]]))
    with pytest.raises(BenchError, match="kid needs at least 2 samples, not 1"):
        sample.rows(2, "kid")
    with pytest.raises(BenchError, match="NaN or infinite"):
        sample.update(features([[np.inf]]))


def test_the_extractor_the_mode_and_the_reference_are_parameters(tmp_path: Path) -> None:
    context = metric_context()
    assert KID(mode="clean").extractor_plugin(context).label == "inception-clean"
    path = tmp_path / "mine.npz"
    rows = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    write_statistics(path, Reference(rows.mean(0).astype(float), np.cov(rows.T), rows.astype(float), {}, ""))
    metric = KID(extractor="cifar10-features", reference=str(path))
    assert metric.reference_name() == str(path)
    assert np.array_equal(metric.rows(context), rows)
    assert set(metric.provenance(context)) == {"cifar10-features", str(path)}
