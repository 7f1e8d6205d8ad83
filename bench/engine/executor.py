"""Role Executor: runs batches, in this process or elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

from bench.engine.batch import Batch, Outcome
from bench.params import Plugin


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
