"""Role Executor, and the batches that it runs: plain data, in this process or elsewhere."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from bench.events import Emit, Notice, StepDone, silent
from bench.params import Plugin
from bench.results.record import BatchFacts

if TYPE_CHECKING:
    from torch import Tensor

    from bench.results.run_spec import RunSpec


@dataclasses.dataclass(frozen=True)
class Batch:
    """The unit of work, of randomness and of resuming: ``size`` samples of a run.

    Args:
        spec: The run.
        index: Number of the batch within the run, from 0.
    """

    spec: RunSpec
    index: int

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.spec.batch_samples(self.index)

    @property
    def name(self) -> str:
        """Name of the batch, the same in all processes."""
        return f"{self.spec.key}-{self.index:05d}-{self.size}"


@dataclasses.dataclass(frozen=True)
class BatchResult:
    """A computed batch.

    Args:
        outputs: The task's tensors (size, ...) by name, on the host, a row per sample.
        facts: Network calls per sample, and seconds.
        stored: Whether the worker wrote the outputs into the results folder; they are empty then.
    """

    outputs: dict[str, Tensor]
    facts: BatchFacts
    stored: bool = False

    def of_worker(self, worker: int, retries: int) -> BatchResult:
        """The result, with the number of the worker that computed it and of those that died of it before."""
        facts = self.facts.model_copy(update={"worker": worker, "retries": retries})
        return dataclasses.replace(self, facts=facts)


@dataclasses.dataclass(frozen=True)
class BatchFailure:
    """A failed batch.

    Args:
        reason: The error in one line, with the plugin that raised it.
        log: The traceback.
    """

    reason: str
    log: str


Outcome = BatchResult | BatchFailure
"""The outcome of a batch: its result or its failure."""


class Work(Protocol):
    """Computes a batch, wherever it is called; a pickle where the executor works in other processes."""

    def __call__(self, batch: Batch, emit: Emit = silent, /) -> Outcome:
        """Compute a batch.

        Args:
            batch: The batch.
            emit: Receives a `StepDone` for every step, in an executor of other processes.

        Returns:
            The result, or a `BatchFailure` for a batch that fails. It raises only ``KeyboardInterrupt`` and
            errors of the machine, which must reach the caller of `Executor.map`.
        """


class Executor(Plugin):
    """Runs batches and yields their outcomes.

    The engine puts the batches of all runs into one stream and stores the outcomes. An executor decides where
    and in which order batches are computed; it touches no file of the results folder. Where workers share the
    folder, `writes_batches` lets the work that the engine hands out write there.
    """

    @property
    def in_process(self) -> bool:
        """Whether batches run in this process. A class sets ``in_process = False`` where ``work``, batches
        and outcomes are pickled; runs with a plugin or network of this process alone are then refused."""
        return True

    @property
    def writes_batches(self) -> bool:
        """Whether ``work`` is to be a `FolderWork`, for workers that have the results folder too."""
        return False

    @property
    def at_once(self) -> int:
        """Number of batches that are computed at a time."""
        return 1

    def for_runs(self, runs: Sequence[RunSpec]) -> Executor:
        """The executor for these runs: this one, or one whose open parameters are decided by them."""
        return self

    @abstractmethod
    def map(
        self, work: Work, batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome | StepDone | Notice]]:
        """Yield every batch with ``work(batch)``, once each, in any order.

        Args:
            work: Computes one batch.
            batches: The stream of batches. Take the next one when a worker is free, or few ahead, and from
                the calling thread alone: the engine locks a batch when it hands it out.

        Returns:
            Pairs of batch and outcome. Before its outcome a batch may come with a `StepDone` or a `Notice`,
            to show.
        """
