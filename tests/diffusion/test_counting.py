"""Network evaluations are counted by the state, for the block and the thread that make them."""

from __future__ import annotations

import threading

import torch

from bench.diffusion.counting import count_evaluations, counted_evaluations, evaluations_of


def test_calls_count_their_states() -> None:
    count_evaluations(5)  # outside a block: counted by nobody
    with counted_evaluations() as evaluations:
        assert evaluations.count == 0
        count_evaluations(3)
        count_evaluations(4)
        assert evaluations.count == 7
    count_evaluations(5)
    assert evaluations.count == 7


def test_a_block_counts_those_within_it() -> None:
    with counted_evaluations() as outer:
        count_evaluations(1)
        with counted_evaluations() as inner:
            count_evaluations(2)
        count_evaluations(4)
    assert (outer.count, inner.count) == (7, 2)


def test_threads_count_apart() -> None:
    counts: list[int] = []
    start = threading.Barrier(2)

    def batch(states: int) -> None:
        with counted_evaluations() as evaluations:
            start.wait()
            count_evaluations(states)
            start.wait()
            counts.append(evaluations.count)

    threads = [threading.Thread(target=batch, args=(states,)) for states in (3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [3, 5]


def test_evaluations_of_some_samples_are_theirs() -> None:
    with counted_evaluations() as evaluations:
        count_evaluations(4)  # a whole batch of four
        with evaluations_of(torch.tensor([1, 3])):
            count_evaluations(2)
        with evaluations_of(torch.tensor([1, 1, 2])):
            count_evaluations(3)
        with evaluations_of(None):
            count_evaluations(4)
    assert evaluations.count == 13
    assert evaluations.most(4) == 5  # sample 1: both whole batches, and three states of its own


def test_a_part_within_a_part_counts_once() -> None:
    with counted_evaluations() as evaluations, evaluations_of(torch.tensor([0, 1])):
        count_evaluations(2)
        with evaluations_of(torch.tensor([0])):
            count_evaluations(1)
    assert (evaluations.count, evaluations.of_all, evaluations.most(3)) == (3, 0, 2)


def test_an_outer_block_knows_the_samples_of_an_inner_one() -> None:
    with counted_evaluations() as outer:
        with counted_evaluations() as inner, evaluations_of(torch.tensor([2])):
            count_evaluations(1)
        count_evaluations(3)
    assert (inner.most(3), outer.most(3)) == (1, 2)
