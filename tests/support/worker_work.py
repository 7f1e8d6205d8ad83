"""Work for worker processes, at module level so that it can be pickled; none of it imports torch."""

from __future__ import annotations

import dataclasses
import os
import secrets
import signal
import struct
import sys
import time
from pathlib import Path

from bench import Batch, BatchFailure, BatchResult, Emit, Outcome, StepDone, silent
from bench.results.record import BatchFacts

FACTS = BatchFacts(nfe=1, seconds=1.0, network_seconds=0.5, warm_seconds=0.0)


@dataclasses.dataclass(frozen=True)
class Fatal:
    """Notes each batch in ``folder``; the batch of index ``bad`` sends ``signal`` to its own process.

    It does so the first ``times`` times that it is computed. A report of a step comes before each outcome.
    """

    folder: Path
    bad: int = -1
    times: int = 1
    signal: signal.Signals = signal.SIGKILL

    def __call__(self, batch: Batch, emit: Emit = silent, /) -> Outcome:
        (self.folder / f"{batch.index}.{os.getpid()}.{secrets.token_hex(4)}").touch()
        emit(StepDone(batch.spec.fingerprint, batch.index, 1, 2, 1))
        if batch.index == self.bad and self.count(batch.index) <= self.times:
            os.kill(os.getpid(), self.signal)
            time.sleep(60)
        return BatchResult({}, FACTS)

    def count(self, index: int) -> int:
        """How often a batch was computed."""
        return len(list(self.folder.glob(f"{index}.*")))

    def workers(self) -> set[str]:
        """The processes that computed batches."""
        return {path.name.split(".")[1] for path in self.folder.iterdir()}


@dataclasses.dataclass(frozen=True)
class Announcing(Fatal):
    """Announces a message of 2^60 bytes to the other process, the first time that it is called."""

    def __call__(self, batch: Batch, emit: Emit = silent, /) -> Outcome:
        outcome = super().__call__(batch, emit)
        if self.count(batch.index) == 1:
            # the header of a long message, as multiprocessing writes it on the worker's connection
            os.write(int(sys.argv[1]), struct.pack("!iQ", -1, 2**60))
            time.sleep(60)
        return outcome


class TwoPartsError(Exception):
    """An exception that no pickle restores: it is made of two arguments, and has one."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@dataclasses.dataclass(frozen=True)
class Raising:
    """Raises an exception at the batch of index ``bad``, or leaves the process there."""

    bad: int
    leaves: bool = False

    def __call__(self, batch: Batch, emit: Emit = silent, /) -> Outcome:
        if batch.index == self.bad:
            if self.leaves:
                sys.exit(3)
            raise TwoPartsError("two", "parts")
        return BatchResult({}, FACTS)


@dataclasses.dataclass(frozen=True)
class Variable:
    """Fails every batch with the value of an environment variable of its process."""

    name: str

    def __call__(self, batch: Batch, emit: Emit = silent, /) -> Outcome:
        return BatchFailure(os.environ.get(self.name, ""), "")
