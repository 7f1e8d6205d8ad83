"""A worker process ends with the connection that feeds it, also in the middle of a batch."""

from __future__ import annotations

import multiprocessing.connection
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

from bench import Batch, StepDone
from tests.support.plans import quick_spec
from tests.support.worker_work import Fatal


def test_it_ends_with_its_connection(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.connection.Pipe()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "bench_local.worker", str(theirs.fileno()), "0.2"]
    process = subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()])
    theirs.close()
    ours.send_bytes(pickle.dumps((Fatal(tmp_path, bad=0, signal=signal.SIGCONT), 0)))
    ours.send_bytes(pickle.dumps((Batch(quick_spec(), 0), 0)))
    signs = 0
    while not isinstance(message := pickle.loads(ours.recv_bytes()), StepDone):
        assert message is None  # a sign of life
        signs += 1
    while signs < 3:  # it works on the batch for a minute, and lives
        assert pickle.loads(ours.recv_bytes()) is None
        signs += 1
    process.send_signal(signal.SIGINT)  # the other process decides what Ctrl-C does
    assert pickle.loads(ours.recv_bytes()) is None
    ours.close()
    assert process.wait(20) == 0
