"""What executors of other processes share: which worker gets which batch, and what a worker's end means.

An executor adds how a worker starts, is sent a batch, is listened to and ends; the rules are here:

- A worker holds up to ``depth`` batches, of which the oldest is at work. All workers get one before any gets
  a second, and none gets a second unless a batch waits for each worker: the last ones go to who is free.
- A worker takes a batch of the model that it holds, but no batch waits while as many others as there are
  workers pass it.
- When a worker dies or hangs, all its batches are taken back to the head of the queue and the oldest has a
  strike, as it was at work. A batch of three strikes fails. Where the machine died, no batch has a strike.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from bench import Batch, BatchFailure, BatchResult, Notice, Outcome, StepDone

STRIKES = 3
"""Times that a batch's worker may die before the batch counts as failed."""

LAPSE = 10.0
"""Seconds of a turn of the loop beyond which nobody listened, so that no worker's silence counts."""

Message = tuple[Batch, Outcome | StepDone | Notice]


@dataclasses.dataclass(kw_only=True, eq=False)
class Worker:
    """A worker: its number, the batches that it holds, the oldest first, and when it was last heard of.

    Args:
        number: From 0; a worker that replaces another one has its number.
        ready: Whether it can be sent a batch.
        batches: What it was sent and did not answer.
        model: Name of the checkpoint of the batch that it was sent last.
        heard: When it last gave a sign of life.
        stepped: When its oldest batch began or last took a step.
    """

    number: int
    ready: bool = True
    batches: deque[Batch] = dataclasses.field(default_factory=deque)
    model: str = ""
    heard: float = 0.0
    stepped: float = 0.0


W = TypeVar("W", bound=Worker)


class Dispatcher(ABC, Generic[W]):
    """Workers that compute batches. `put` and `get` are for one thread; another one feeds the workers.

    Args:
        count: Number of workers; each starts when a batch waits for it.
        depth: Number of batches that a worker holds at most.
        patience: Seconds without a sign of life after which a worker that has a batch is replaced.
        limit: Seconds without a step after which a worker is replaced; 0 for no limit.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        count: int,
        *,
        depth: int = 1,
        patience: float,
        limit: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count, self._depth, self._patience, self._limit = count, depth, patience, limit
        self._clock = clock
        self._todo: deque[Batch] = deque()
        self._lock = threading.Lock()
        self._out: queue.SimpleQueue[Message | Exception] = queue.SimpleQueue()
        self._workers: dict[int, W] = {}
        self._closed_places: set[int] = set()
        self._strikes: dict[str, int] = {}
        self._passes = 0
        self._latest: Batch | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.pending = 0
        """Batches without an outcome."""

    def __enter__(self) -> Dispatcher[W]:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closed = True
        self._wake()
        self._thread.join()
        self._end_all()

    @property
    def waiting(self) -> int:
        """Batches that no worker has been sent."""
        return len(self._todo)

    def put(self, batch: Batch) -> None:
        """Give a batch to the next free worker."""
        self.pending += 1
        with self._lock:
            self._todo.append(batch)
        self._wake()

    def get(self) -> Message:
        """Wait for the next outcome, or report of steps."""
        item = self._out.get()
        if isinstance(item, Exception):
            raise item
        if isinstance(item[1], BatchResult | BatchFailure):
            self.pending -= 1
        return item

    def outcomes(self, batches: Iterator[Batch]) -> Iterator[Message]:
        """The outcomes of a stream, for `Executor.map`.

        As many batches again as there are workers wait for them, while the engine measures a run.
        """
        for batch in batches:
            self.put(batch)
            while self.waiting >= self._count:
                yield self.get()
        while self.pending:
            yield self.get()

    @abstractmethod
    def _start(self, number: int, batch: Batch) -> W:
        """A new worker, for that batch among others; it may become ready later."""

    @abstractmethod
    def _send(self, worker: W, batch: Batch, strikes: int) -> None:
        """Send a batch of so many strikes. A worker that is dead is no error: `_listen` sees that."""

    @abstractmethod
    def _listen(self) -> None:
        """Take what workers send, for at most seconds; calls `_take_step`, `_take_outcome` and `_replace`."""

    @abstractmethod
    def _end(self, worker: W) -> str:
        """End a worker, and wait for that; the words in which it died, or nothing."""

    @abstractmethod
    def _end_all(self) -> None:
        """End all workers."""

    @abstractmethod
    def _wake(self) -> None:
        """Let `_listen` return at once."""

    def _run(self) -> None:
        try:
            while not self._closed:
                begin = self._clock()
                self._feed()
                self._listen()
                self._excuse(self._clock() - begin - LAPSE)
                self._replace_hung()
        except Exception as error:  # such as no file descriptors left: the waiting thread raises it
            self._out.put(error)

    def _feed(self) -> None:
        """Give waiting batches to workers that have room, and start workers for more of them."""
        for number in self._places():
            # those that start, and those that are free, will take a batch each
            coming = sum(not worker.batches for worker in self._workers.values())
            if number not in self._workers and self.waiting > coming:
                self._workers[number] = self._start(number, self._todo[0])
        for level in range(self._depth):
            for worker in list(self._workers.values()):
                if worker.ready and len(worker.batches) == level:
                    if level and self.waiting < len(self._places()):
                        return
                    batch = self._next(worker)
                    if batch is None:
                        return
                    now = self._clock()
                    if not worker.batches:
                        worker.heard = worker.stepped = now
                    worker.batches.append(batch)
                    worker.model = batch.spec.card.name
                    self._send(worker, batch, self._strikes.get(batch.name, 0))

    def _places(self) -> list[int]:
        """The numbers that workers may have."""
        return [number for number in range(self._count) if number not in self._closed_places]

    def _has_room(self) -> bool:
        """Whether a worker would be sent a batch at once."""
        return any(worker.ready and len(worker.batches) < self._depth for worker in self._workers.values())

    def _next(self, worker: W) -> Batch | None:
        """The first batch of the worker's model, or the first of all; None where none waits."""
        with self._lock:
            if not self._todo:
                return None
            if self._todo[0] is not self._latest:
                self._latest, self._passes = self._todo[0], 0
            place = 0
            if self._passes < self._count:
                models = [batch.spec.card.name for batch in self._todo]
                place = models.index(worker.model) if worker.model in models else 0
            self._passes += place > 0
            batch = self._todo[place]
            del self._todo[place]
            return batch

    def _take_step(self, worker: W, step: StepDone) -> None:
        """Pass a step on."""
        worker.heard = worker.stepped = self._clock()
        if worker.batches:
            self._out.put((worker.batches[0], step))

    def _take_outcome(self, worker: W, batch: Batch, outcome: Outcome) -> None:
        """Pass an outcome on; the next batch of the worker begins."""
        worker.heard = worker.stepped = self._clock()
        worker.batches.remove(batch)
        retries = self._strikes.pop(batch.name, 0)
        if isinstance(outcome, BatchResult):
            outcome = outcome.of_worker(worker.number, retries)
        self._out.put((batch, outcome))

    def _take_back(self, worker: W, batch: Batch) -> None:
        """Put a batch that a worker did not compute, for no fault of its own, at the head of the queue."""
        worker.batches.remove(batch)
        with self._lock:
            self._todo.appendleft(batch)

    def _excuse(self, seconds: float) -> None:
        """Not count a time in which nobody listened, as after Ctrl-Z or a slow node's result."""
        for worker in self._workers.values():
            worker.heard += max(0.0, seconds)
            worker.stepped += max(0.0, seconds)

    def _replace_hung(self) -> None:
        """Replace workers that give no sign of life, or whose batch takes no step."""
        now = self._clock()
        for worker in list(self._workers.values()):
            if not worker.batches:
                continue
            if now - worker.heard > self._patience:
                self._replace(worker, f"gave no sign of life for {self._patience:g} s")
            elif self._limit and now - worker.stepped > self._limit:
                self._replace(worker, f"took no step for {self._limit:g} s")

    def _replace(self, worker: W, what: str, *, strike: bool = True) -> None:
        """End a worker and take its batches back; the oldest has a strike, and fails after `STRIKES`."""
        del self._workers[worker.number]
        words = self._end(worker)
        batches = list(worker.batches)
        worker.batches.clear()
        if batches and strike:
            oldest = batches[0]
            strikes = self._strikes[oldest.name] = self._strikes.get(oldest.name, 0) + 1
            if strikes >= STRIKES:
                how = f" ({words})" if words and what == "died" else ""
                self._strikes.pop(oldest.name)
                self._out.put((oldest, BatchFailure(f"its worker {what} {STRIKES} times{how}", "")))
                del batches[0]
        with self._lock:
            self._todo.extendleft(reversed(batches))

    def _notify(self, text: str) -> None:
        """Show a lasting line, by way of a batch that is under way."""
        batch = next((worker.batches[0] for worker in self._workers.values() if worker.batches), None)
        batch = batch or next(iter(self._todo), None)
        if batch is not None:
            self._out.put((batch, Notice(text)))
