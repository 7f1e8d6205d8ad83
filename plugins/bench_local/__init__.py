"""The executor ``local``: batches one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench import Executor, Job, Register, hookimpl


class Local(Executor):
    """Runs every batch in this process, in order."""

    name = "local"

    def run(self, jobs: Sequence[Job], work: Callable[[Job], None]) -> None:
        for job in jobs:
            work(job)


@hookimpl
def register_executors(register: Register) -> None:
    register(Local)
