"""A pool of workers: starts them, feeds them from one queue, replaces those that die."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing.connection
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import Connection

from bench import Batch, BatchFailure, BatchResult, BenchError, Outcome, StepDone, Work

STRIKES = 3
"""Times that a batch's worker may die before the batch counts as failed."""
BEATS = 8
"""Signs of life that a worker gives within the pool's patience."""
GRACE = 2.0
"""Seconds that a worker has to end after SIGTERM."""


@dataclasses.dataclass
class _Worker:
    """A process, its connection, the batch at work (None: it is free), and when it was last heard of."""

    number: int
    process: subprocess.Popen[bytes]
    connection: Connection
    batch: Batch | None = None
    heard: float = dataclasses.field(default_factory=time.monotonic)


class Pool:
    """Workers that compute batches. `put` and `get` are for one thread; another one feeds the workers.

    Args:
        work: Computes a batch.
        count: Number of workers; each starts when a batch waits for it.
        patience: Seconds without a sign of life after which a worker is replaced.
    """

    def __init__(self, work: Work, count: int, patience: float) -> None:
        self._work = pickle.dumps(work)
        self._count, self._patience = count, patience
        self._todo: deque[Batch] = deque()
        self._lock = threading.Lock()
        self._out: queue.SimpleQueue[tuple[Batch, Outcome | StepDone] | Exception] = queue.SimpleQueue()
        self._workers: dict[int, _Worker] = {}
        self._strikes: dict[str, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.pending = 0
        """Batches without an outcome."""

    def __enter__(self) -> Pool:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closed = True
        os.write(self._wake_write, b".")
        self._thread.join()
        for worker in self._workers.values():
            worker.process.terminate()
        for worker in self._workers.values():
            _end(worker)
        os.close(self._wake_read)
        os.close(self._wake_write)

    @property
    def waiting(self) -> int:
        """Batches that no worker has begun."""
        return len(self._todo)

    def put(self, batch: Batch) -> None:
        """Give a batch to the next free worker."""
        self.pending += 1
        with self._lock:
            self._todo.append(batch)
        os.write(self._wake_write, b".")

    def get(self) -> tuple[Batch, Outcome | StepDone]:
        """Wait for the next outcome, or report of steps."""
        item = self._out.get()
        if isinstance(item, Exception):
            raise item
        if not isinstance(item[1], StepDone):
            self.pending -= 1
        return item

    def _run(self) -> None:
        try:
            while not self._closed:
                self._feed()
                self._listen()
        except Exception as error:  # such as no file descriptors left: the waiting thread raises it
            self._out.put(error)

    def _feed(self) -> None:
        """Give waiting batches to free workers, and start workers for more of them."""
        for number in range(self._count):
            with self._lock:
                if not self._todo:
                    return
                worker = self._workers.get(number)
                if worker is not None and worker.batch is not None:
                    continue
                batch = self._todo.popleft()
            if worker is None:
                worker = self._workers[number] = self._start(number, batch.spec.device)
            worker.batch, worker.heard = batch, time.monotonic()
            with contextlib.suppress(OSError):  # it is dead: `_listen` sees that
                worker.connection.send_bytes(pickle.dumps(batch))

    def _listen(self) -> None:
        """Take what workers send, for at most a second."""
        by_connection = {worker.connection: worker for worker in self._workers.values()}
        for ready in multiprocessing.connection.wait([*by_connection, self._wake_read], timeout=1):
            if ready == self._wake_read:
                os.read(self._wake_read, 4096)
                continue
            worker = by_connection[ready]  # type: ignore[index]
            try:
                message = pickle.loads(worker.connection.recv_bytes())
            except (EOFError, OSError):
                self._replace(worker, "died")
                continue
            worker.heard = time.monotonic()
            if message is None or worker.batch is None:
                continue  # a sign of life
            if isinstance(message, StepDone):
                self._out.put((worker.batch, message))
                continue
            retries = self._strikes.pop(worker.batch.name, 0)
            if isinstance(message, BatchResult):
                message = message.of_worker(worker.number, retries)
            self._out.put((worker.batch, message))
            worker.batch = None
        for worker in list(self._workers.values()):
            if time.monotonic() - worker.heard > self._patience:
                self._replace(worker, f"gave no sign of life for {self._patience:g} s")

    def _replace(self, worker: _Worker, what: str) -> None:
        """End a worker; its batch is tried again, or fails after `STRIKES`."""
        del self._workers[worker.number]
        worker.process.kill()
        status = _end(worker)
        batch = worker.batch
        if batch is None:
            return
        strikes = self._strikes[batch.name] = self._strikes.get(batch.name, 0) + 1
        if strikes < STRIKES:
            with self._lock:
                self._todo.appendleft(batch)
            return
        how = f" ({_status_text(status)})" if what == "died" else ""
        self._out.put((batch, BatchFailure(f"its worker {what} {STRIKES} times{how}", "")))

    def _start(self, number: int, device: str) -> _Worker:
        """A new process with its GPU or its share of the cores."""
        ours, theirs = multiprocessing.connection.Pipe()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        threads = max(1, len(os.sched_getaffinity(0)) // self._count)
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        if device == "cuda":
            environment["CUDA_VISIBLE_DEVICES"] = _gpu(number)
        arguments = [str(theirs.fileno()), str(self._patience / BEATS)]
        command = [sys.executable, "-m", "bench_local.worker", *arguments]
        try:
            process = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        except OSError as error:
            raise BenchError(f"worker {number} does not start: {error}") from error
        theirs.close()
        ours.send_bytes(self._work)
        return _Worker(number, process, ours)


def _gpu(number: int) -> str:
    """The GPU of a worker, as CUDA_VISIBLE_DEVICES names it."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(k) for k in range(torch.cuda.device_count())]
    return names[number % len(names)]


def _end(worker: _Worker) -> int:
    """Wait for a process that was told to end; its exit status."""
    try:
        status = worker.process.wait(GRACE)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        status = worker.process.wait()
    worker.connection.close()
    return status


def _status_text(status: int) -> str:
    """``signal SIGKILL`` or ``exit status 1``."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
