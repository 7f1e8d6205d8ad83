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
    """The unit of work, of randomness and of resuming: ``size`` samples of a run, batch number ``index``."""

    spec: RunSpec
    index: int

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.spec.batch_samples(self.index)

    @property
    def name(self) -> str:
        """Name that all processes know the batch by."""
        return f"{self.spec.key}-{self.index:05d}-{self.size}"


@dataclasses.dataclass(frozen=True)
class BatchResult:
    """A batch that was computed: outputs by name on the host, a row per sample, and what it took."""

    outputs: dict[str, Tensor]
    facts: BatchFacts


@dataclasses.dataclass(frozen=True)
class BatchFailure:
    """A batch that failed: the error in a line, with the plugin that raised it, and the traceback."""

    reason: str
    log: str


Outcome = BatchResult | BatchFailure
"""What comes of a batch."""


class Executor(Plugin):
    """Runs batches and yields their outcomes.

    The engine puts the batches of all runs into one stream and stores what comes back. An executor decides
    where and in which order batches are computed; it touches no file of the results folder.

    A subclass sets ``in_process`` to False where batches run in other processes. Then ``work``, batches and
    outcomes are pickled, no steps are reported while a batch runs, and runs with a plugin or network of this
    process alone are refused.
    """

    in_process: ClassVar[bool] = True

    @abstractmethod
    def map(
        self, work: Callable[[Batch], Outcome], batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome]]:
        """Yield every batch with ``work(batch)``, each once, in any order.

        Args:
            work: Computes one batch. A batch that fails returns a `BatchFailure`; only ``KeyboardInterrupt``
                and errors of the machine pass through, and they must reach the caller.
            batches: The stream of batches. Take the next one only when there is room for it, and from the
                calling thread alone: the engine locks a batch when it is taken.

        Returns:
            Pairs of batch and outcome.
        """
