"""What a process of `tests.faults` does otherwise, by its environment: Python imports this file at its start.

FAULT_LOG      a file that gets the name of each batch that the process writes
FAULT_DISK     the number of the batch, of all in the log, from which on the disk is full
FAULT_CLOCK    seconds by which both clocks are ahead
FAULT_FLOCK    any text: flock does nothing, as on some network file systems
"""

import errno
import os
import time
from typing import Any

_replace = os.replace


def replace(source: Any, target: Any, **options: Any) -> None:
    """`os.replace`, with a log and a full disk."""
    name = os.fspath(target)
    if name.endswith(".safetensors"):
        with open(os.environ["FAULT_LOG"], "a+") as log:
            log.seek(0)
            if "FAULT_DISK" in os.environ and len(log.readlines()) + 1 >= int(os.environ["FAULT_DISK"]):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            log.write(f"{name.rpartition(os.sep)[2]}\n")
    _replace(source, target, **options)


if "FAULT_LOG" in os.environ:
    setattr(os, "replace", replace)  # noqa: B010
if "FAULT_CLOCK" in os.environ:
    _ahead, _time, _monotonic = float(os.environ["FAULT_CLOCK"]), time.time, time.monotonic
    time.time = lambda: _time() + _ahead
    time.monotonic = lambda: _monotonic() + _ahead
if "FAULT_FLOCK" in os.environ:
    import fcntl

    fcntl.flock = lambda *_: None
