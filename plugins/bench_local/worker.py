"""A worker: a process that computes batches which another process sends.

    python -m bench_local.worker FILE_DESCRIPTOR SECONDS

Messages are pickles on one connection. In: the work and the worker's number, then batches with the number of
workers that died of each. Out: a `StepDone` now and then, the outcome of the batch, and None as a sign of
life, every SECONDS. The worker ends with the connection.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection

from bench import Batch, BatchFailure, Emit, StepDone, Work

PAUSE = 0.2
"""Seconds between reports of steps."""


def serve(connection: Connection, beat: float) -> None:
    """Compute what comes until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process decides what Ctrl-C does
    sending = threading.Lock()

    def send_bytes(data: bytes) -> None:
        with sending:
            connection.send_bytes(data)

    def send(message: object) -> None:
        # plain pickles carry tensors by value: torch's own would put them into shared memory
        send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))

    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                inbox.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)  # nobody waits for the batch at work

    def live() -> None:
        while True:
            time.sleep(beat)
            try:
                send(None)
            except OSError:
                os._exit(0)

    for target in (read, live):
        threading.Thread(target=target, daemon=True).start()

    last = 0.0

    def emit(event: object) -> None:
        nonlocal last
        if isinstance(event, StepDone) and time.monotonic() - last > PAUSE:
            last = time.monotonic()
            send(event)

    work, number = pickle.loads(inbox.get())
    while True:
        batch, strikes = pickle.loads(inbox.get())
        send_bytes(outcome_bytes(work, batch, emit, number, strikes))


def outcome_bytes(work: Work, batch: Batch, emit: Emit, number: int, strikes: int) -> bytes:
    """The pickled outcome of a batch; an exception of the work is a failure, as plain data.

    Args:
        work: Computes the batch.
        batch: The batch.
        emit: Receives its steps.
        number: Number of this worker.
        strikes: Number of workers that died of the batch.
    """
    from bench import FolderWork  # with the engine: a worker gives signs of life before it imports that

    if isinstance(work, FolderWork):
        work = work.of_worker(number, strikes)
    try:
        outcome = work(batch, emit)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        outcome = BatchFailure(reason, "".join(traceback.format_exception(error)))
    try:
        return pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        return pickle.dumps(BatchFailure(f"the outcome cannot leave the worker: {error}", ""))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), float(sys.argv[2]))
