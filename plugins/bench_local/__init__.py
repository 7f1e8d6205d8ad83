"""The executor ``local``: batches one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench import Batch, Executor, Outcome, Register, hookimpl


class Local(Executor):
    """Runs every batch in this process, in order."""

    name = "local"

    def map(
        self, work: Callable[[Batch], Outcome], batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome]]:
        for batch in batches:
            yield batch, work(batch)


@hookimpl
def register_executors(register: Register) -> None:
    register(Local)
