"""Blocks of batches: bounded, in order, and the same groups whether batches or blocks are counted."""

from __future__ import annotations

import operator
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import Blocks, jackknife_groups
from bench.metrics import blocks
from bench.metrics.blocks import MOST_BLOCKS


@given(count=st.integers(0, 200), most=st.integers(1, 40))
def test_groups_cover_every_batch_once_in_order(count: int, most: int) -> None:
    groups = jackknife_groups(count, most)
    if count < 2:
        assert groups == []
        return
    assert [i for group in groups for i in group] == list(range(count))
    sizes = [len(group) for group in groups]
    assert len(groups) == min(count, most)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 16, 17, 100, 257])
def test_blocks_are_bounded_and_left_out_in_the_groups_of_their_batches(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "MOST_BLOCKS", 8)
    numbers: Blocks[array[float]] = Blocks(operator.iadd)
    for number in range(count):
        numbers.add(array("d", [number]))
        assert len(numbers.parts) <= 8
    assert [x for part in numbers.parts for x in part] == list(range(count))
    by_blocks = [[x for i in group for x in numbers.parts[i]] for group in numbers.groups()]
    assert by_blocks == [list(group) for group in jackknife_groups(count)]
    assert all(jackknife_groups(count, 3))


def test_ten_million_batches_have_groups_at_no_cost() -> None:
    groups = jackknife_groups(10_000_000)
    assert [len(groups), groups[0].start, groups[-1].stop] == [32, 0, 10_000_000]
    size = 2**14  # 611 blocks of 16,384 batches
    assert -(-10_000_000 // size) <= MOST_BLOCKS < -(-10_000_000 // (size // 2))
    assert all(group.start % size == 0 for group in groups)
