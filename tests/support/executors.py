"""Executors, sound ones and others with a planted mistake, at module level so that they can be pickled."""

from __future__ import annotations

import functools
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from bench import Batch, BatchFailure, Executor, Outcome

Work = Callable[[Batch], Outcome]
Pairs = Iterator[tuple[Batch, Outcome]]


class InTurn(Executor):
    """One after the other."""

    name = "sound_in_turn"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for batch in batches:
            yield batch, work(batch)


class DropsTheLast(Executor):
    """Leaves out the last batch."""

    name = "drops_the_last"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for batch in list(batches)[:-1]:
            yield batch, work(batch)


class OneTwice(Executor):
    """Computes the third batch twice, and yields it once."""

    name = "one_twice"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for number, batch in enumerate(batches):
            if number == 2:
                work(batch)
            yield batch, work(batch)


class YieldsOneTwice(Executor):
    """Yields the third batch twice."""

    name = "yields_one_twice"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for number, batch in enumerate(batches):
            outcome = work(batch)
            yield from [(batch, outcome)] * (2 if number == 2 else 1)


class Swallows(Executor):
    """Goes on after Ctrl-C, with an outcome of its own."""

    name = "swallows"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for batch in batches:
            try:
                yield batch, work(batch)
            except BaseException:
                yield batch, BatchFailure("lost", "")


class Retries(Executor):
    """Computes a batch that failed once more."""

    name = "retries"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for batch in batches:
            outcome = work(batch)
            if isinstance(outcome, BatchFailure) and outcome.reason.endswith("failed"):
                outcome = work(batch)
            yield batch, outcome


class DropsFailures(Executor):
    """Keeps failures to itself."""

    name = "drops_failures"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for batch in batches:
            outcome = work(batch)
            if not (isinstance(outcome, BatchFailure) and outcome.reason.endswith("failed")):
                yield batch, outcome


class MixesOutcomes(Executor):
    """Yields each batch with the outcome of the one before."""

    name = "mixes_outcomes"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        computed = list(batches)
        outcomes = [work(batch) for batch in computed]
        yield from zip(computed, [*outcomes[1:], *outcomes[:1]], strict=True)


class OtherThread(Executor):
    """Takes the batches in a thread of its own."""

    name = "other_thread"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        taken: list[Batch] = []
        thread = threading.Thread(target=lambda: taken.extend(batches))
        thread.start()
        thread.join()
        for batch in taken:
            yield batch, work(batch)


@functools.cache
def processes() -> ProcessPoolExecutor:
    """Two processes, shared by the tests: each takes seconds to import torch."""
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


class Pool(Executor):
    """Two processes, with no more batches taken than they work on."""

    name = "sound_pool"
    in_process = False

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        running: dict[Future[Outcome], Batch] = {}
        for batch in batches:
            running[processes().submit(work, batch)] = batch
            if len(running) >= 2:
                yield from self.finished(running)
        while running:
            yield from self.finished(running)

    def finished(self, running: dict[Future[Outcome], Batch]) -> Pairs:
        """Those of the running batches that are done, at least one."""
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


class PoolDropsOne(Pool):
    """Loses the outcome of the first batch."""

    name = "pool_drops_one"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        for number, pair in enumerate(super().map(work, batches)):
            if number:
                yield pair


class PoolOneTwice(Pool):
    """Submits the third batch twice."""

    name = "pool_one_twice"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        def doubled() -> Iterator[Batch]:
            for number, batch in enumerate(batches):
                yield from [batch] * (2 if number == 2 else 1)

        return super().map(work, doubled())


class PoolSwallows(Pool):
    """Ends the stream at Ctrl-C and says nothing."""

    name = "pool_swallows"

    def map(self, work: Work, batches: Iterator[Batch]) -> Pairs:
        def quiet() -> Iterator[Batch]:
            try:
                yield from batches
            except KeyboardInterrupt:
                return

        return super().map(work, quiet())
