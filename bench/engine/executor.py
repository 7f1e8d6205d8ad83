"""Role Executor, and the batches that it runs: plain data, in this process or elsewhere."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

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
    """

    outputs: dict[str, Tensor]
    facts: BatchFacts


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


class Executor(Plugin):
    """Runs batches and yields their outcomes.

    The engine puts the batches of all runs into one stream and stores the outcomes. An executor decides where
    and in which order batches are computed; it touches no file of the results folder.
    """

    in_process: ClassVar[bool] = True
    """Whether batches run in this process. If False, ``work``, batches and outcomes are pickled, no steps are
    reported while a batch runs, and runs with a plugin or network of this process alone are refused."""

    @abstractmethod
    def map(
        self, work: Callable[[Batch], Outcome], batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome]]:
        """Yield every batch with ``work(batch)``, once each, in any order.

        Args:
            work: Computes one batch, and returns a `BatchFailure` for a batch that fails. It raises only
                ``KeyboardInterrupt`` and errors of the machine, which must reach the caller.
            batches: The stream of batches. Take the next one only when a worker is free, and from the calling
                thread alone: the engine locks a batch when it hands it out.

        Returns:
            Pairs of batch and outcome.
        """
