"""What metrics of items share: their reference, its shape and hash, and a bounded sample of a stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bench import BenchError, Images, MetricContext
from bench_fid.energy import MMD
from bench_fid.items import ItemSample, flat
from tests.support.metrics import Items, context_of, metric_context


def test_the_hash_of_the_reference_is_the_provenance() -> None:
    items = torch.rand(5, 1, 2, 3)
    expected = f"{Items(items).sha256()}, decoder none: in memory"
    assert MMD(reference="mine").provenance(context_of(items)) == {"mine": expected}
    assert MMD().provenance(context_of(items)) == {"cifar10-train": expected}
    assert MMD().provenance(context_of(items + 1)) != {"cifar10-train": expected}


def test_a_reference_of_another_shape_is_refused() -> None:
    context = context_of(torch.rand(5, 1, 2, 3))
    MMD(reference="mine").check_reference((1, 2, 3), context)
    with pytest.raises(BenchError, match="its reference mine is of 1x2x3 items, the samples are 6: na"):
        MMD(reference="mine").check_reference((6,), context)


@pytest.mark.parametrize("reference", ["", "cifar10", "cifar10-test"])
def test_a_data_set_of_another_shape_is_refused_before_it_is_fetched(
    reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_: MetricContext, name: str) -> Images:
        raise AssertionError(f"{name} is opened")

    monkeypatch.setattr(MetricContext, "images", fetch)
    with pytest.raises(BenchError, match=r"its reference cifar10.* is of 3x32x32 items, the samples are 2"):
        MMD(reference=reference).check_reference((2,), metric_context())


def test_a_reference_that_is_no_items_is_refused() -> None:
    with pytest.raises(BenchError, match="the items of its reference can't be read: there is no no-such"):
        MMD(reference="no-such.npz").check_reference((2,), metric_context())


def test_a_sample_of_a_stream_is_whole_or_bounded() -> None:
    rows = np.arange(20.0).reshape(10, 2)
    sample = ItemSample(10)
    for part in np.split(rows, [3, 4]):
        sample.update(part)
    assert (sample.n, sample.batches, sample.whole) == (10, [3, 1, 6], True)
    assert np.array_equal(sample.rows("it"), rows)
    sample.update(rows)
    assert (sample.n, sample.whole, len(sample.rows("it"))) == (20, False, 10)
    with pytest.raises(BenchError, match="it needs at least 2 samples, not 0"):
        ItemSample(10).rows("it")


def test_items_are_flattened_as_they_are() -> None:
    items = torch.tensor([[[-1.5, 0.25]], [[300.0, 1.0]]])
    assert flat(items).tolist() == [[-1.5, 0.25], [300.0, 1.0]]
    with pytest.raises(BenchError, match="samples are NaN or infinite"):
        flat(torch.tensor([[torch.inf]]))


def test_runs_share_the_measured_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start after the first one reads nothing."""
    context = context_of(torch.rand(6, 2))
    reads: list[str] = []
    read = Items.__iter__

    def counted(self: Items) -> Iterator[torch.Tensor]:
        reads.append(self.name)
        return read(self)

    monkeypatch.setattr(Items, "__iter__", counted)
    for _ in range(3):
        MMD().start(context)
    assert reads == ["cifar10-train"]
