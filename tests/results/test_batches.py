"""Batches as a range."""

from __future__ import annotations

import tracemalloc

import pytest

from bench.results.batches import Batches, BatchSet


@pytest.mark.parametrize(
    ("samples", "sizes"), [(1, [1]), (50, [50]), (100, [50, 50]), (120, [50, 50, 20]), (51, [50, 1])]
)
def test_sizes_add_up(samples: int, sizes: list[int]) -> None:
    batches = Batches(samples, 50)
    assert list(batches) == list(enumerate(sizes))
    assert len(batches) == len(sizes)
    for marked in range(2 ** len(sizes)):
        marks = bytearray(marked >> index & 1 for index in range(len(sizes)))
        assert batches.marked_samples(marks) == sum(
            size for size, mark in zip(sizes, marks, strict=True) if mark
        )


def test_ten_million_batches_take_no_memory() -> None:
    tracemalloc.start()
    batches = Batches(10_000_000, 1)
    assert len(batches) == 10_000_000
    assert next(iter(batches)) == (0, 1)
    assert batches.size(9_999_999) == 1
    assert tracemalloc.get_traced_memory()[1] < 10_000
    tracemalloc.stop()


def test_a_set_of_batches() -> None:
    batches = BatchSet()
    for key, index, size in (("a", 3, 8), ("a", 3, 8), ("a", 4, 5), ("b", 0, 8)):
        batches.add(key, index, size, 8)
    assert len(batches) == 3
    assert all(batches.has(*batch) for batch in (("a", 3, 8), ("a", 4, 5), ("b", 0, 8)))
    assert not any(batches.has(*batch) for batch in (("a", 2, 8), ("a", 4, 8), ("b", 3, 8), ("c", 0, 8)))
