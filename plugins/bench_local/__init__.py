"""The executor ``local``: batches in this process, or in several processes of this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from bench import Batch, Executor, Notice, Outcome, Register, RunSpec, StepDone, Work, hookimpl, param


class Local(Executor):
    """Runs batches in this process, in order, or in ``workers`` processes.

    Worker k has a GPU of its own (k modulo their number) where runs are on ``cuda``, and an equal share of
    the cores. It keeps its model from batch to batch, and writes batches into the results folder. One that
    dies is replaced, and its batch is tried again, three times in all.
    """

    name = "local"

    workers: int = param(
        default=0,
        low=0,
        high=1024,
        flag="workers",
        help="processes; 0: one for each GPU where runs are on cuda, else this process alone",
    )
    patience: float = param(
        default=300.0, above=0, help="seconds without a sign of life after which a worker is replaced"
    )
    limit: float = param(
        default=0.0, low=0.0, help="seconds without a step after which a worker is replaced; 0: none"
    )

    @property
    def at_once(self) -> int:
        return max(1, self.workers)

    @property
    def in_process(self) -> bool:
        return self.workers < 2

    @property
    def writes_batches(self) -> bool:
        return not self.in_process

    def for_runs(self, runs: Sequence[RunSpec]) -> Local:
        """With as many workers as torch finds GPUs, where the number is open and the runs can travel."""
        if self.workers:
            return self
        gpus = 1
        if any(run.device == "cuda" for run in runs) and not any(run.in_memory for run in runs):
            import torch

            gpus = torch.cuda.device_count()
        return dataclasses.replace(self, workers=max(1, gpus))

    def map(
        self, work: Work, batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome | StepDone | Notice]]:
        if self.in_process:
            for batch in batches:
                yield batch, work(batch)
            return
        from bench_local.pool import Pool

        with Pool(work, self.workers, self.patience, self.limit) as pool:
            yield from pool.outcomes(batches)


@hookimpl
def register_executors(register: Register) -> None:
    register(Local)
