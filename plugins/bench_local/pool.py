"""A pool of workers: processes of this machine, fed and replaced by the rules of `Dispatcher`."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing.connection
import os
import pickle
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection

from bench import Batch, BenchError, StepDone, Work
from bench_local.dispatch import Dispatcher, Worker

BEATS = 8
"""Signs of life that a worker gives within the pool's patience."""
GRACE = 2.0
"""Seconds that a worker has to end after SIGTERM."""
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**29)}
"""Settings of glibc, where the user has none: a worker keeps the memory of tensors of up to 32 MiB that it
frees, 512 MiB in all. Given back to the system, it would be filled with zeros for each next tensor."""


def memory_bytes() -> int:
    """Memory of this machine, in bytes: what a batch can be, since its worker held it here."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclasses.dataclass(kw_only=True, eq=False)
class Process(Worker):
    """A worker's process, and the connection to it."""

    process: subprocess.Popen[bytes]
    connection: Connection


class Pool(Dispatcher[Process]):
    """Processes of this machine that compute batches, one at a time each.

    Args:
        work: Computes a batch.
        count: Number of workers; each starts when a batch waits for it.
        patience: Seconds without a sign of life after which a worker is replaced.
        limit: Seconds without a step after which a worker is replaced; 0 for no limit.
    """

    def __init__(self, work: Work, count: int, patience: float, limit: float = 0.0) -> None:
        super().__init__(count, patience=patience, limit=limit)
        self._work = work
        self._wake_read, self._wake_write = os.pipe()
        self._longest = memory_bytes()

    def _end_all(self) -> None:
        for worker in self._workers.values():
            worker.process.terminate()
        for worker in self._workers.values():
            _wait_for_end(worker)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wake(self) -> None:
        os.write(self._wake_write, b".")

    def _send(self, worker: Process, batch: Batch, strikes: int) -> None:
        with contextlib.suppress(OSError):  # it is dead: `_listen` sees that
            worker.connection.send_bytes(pickle.dumps((batch, strikes)))

    def _listen(self) -> None:
        by_connection = {worker.connection: worker for worker in self._workers.values()}
        for ready in multiprocessing.connection.wait([*by_connection, self._wake_read], timeout=1):
            if ready == self._wake_read:
                os.read(self._wake_read, 4096)
                continue
            worker = by_connection[ready]  # type: ignore[index]
            try:
                message = pickle.loads(worker.connection.recv_bytes(self._longest))
            except (EOFError, OSError):  # it ended, or announces more than a batch can be
                self._replace(worker, "died")
                continue
            worker.heard = time.monotonic()
            if message is None or not worker.batches:
                continue  # a sign of life
            if isinstance(message, StepDone):
                self._take_step(worker, message)
            else:
                self._take_outcome(worker, worker.batches[0], message)

    def _end(self, worker: Process) -> str:
        worker.process.kill()
        return _status_text(_wait_for_end(worker))

    def _start(self, number: int, batch: Batch) -> Process:
        """A new process with its GPU or its share of the cores."""
        ours, theirs = multiprocessing.connection.Pipe()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        threads = max(1, len(os.sched_getaffinity(0)) // self._count)
        environment = MALLOC | environment
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        if batch.spec.device == "cuda":
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
        ours.send_bytes(pickle.dumps((self._work, number)))
        return Process(number=number, process=process, connection=ours)


def _gpu(number: int) -> str:
    """The GPU of a worker, as CUDA_VISIBLE_DEVICES names it."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(k) for k in range(torch.cuda.device_count())]
    return names[number % len(names)]


def _wait_for_end(worker: Process) -> int:
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
