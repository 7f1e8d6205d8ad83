"""Python's collector of reference cycles: at rest while a command starts and ends, at work while it computes.

Imports and plans make half a million objects and hardly any garbage: to search them again and again takes as
long as half of ``import torch``.
"""

from __future__ import annotations

import gc
import sys


def rest() -> None:
    """Stop the collector. A command that computes for long calls `resume` first."""
    gc.disable()


def resume() -> None:
    """Start the collector again; it leaves alone what exists by now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def leave() -> None:
    """Spare the end of the process a search through all that exists.

    Not where Triton is loaded, as torchvision does where it is installed: its binding reports every object
    that the search has not found as a leak, on standard error.
    """
    if "triton" in sys.modules:
        gc.unfreeze()
    else:
        gc.freeze()
