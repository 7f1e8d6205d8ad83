"""Network evaluations are counted by the state, for the block and the thread that make them."""

from __future__ import annotations

import threading

from bench.diffusion.counting import count_evaluations, counted_evaluations


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
