"""Python's collector of reference cycles: at rest while a command starts and ends, at work while it computes.

Imports and plans make half a million objects and hardly any garbage: to search them again and again takes as
long as half of ``import torch``.
"""

from __future__ import annotations

import gc
import sys

REPORTING = ("triton",)
"""Modules whose library prints its objects as leaks where the collector does not take them at the end."""


def rest() -> None:
    """Stop the collector. A command that computes for long calls `resume` first."""
    gc.disable()


def resume() -> None:
    """Start the collector again; it leaves alone what exists by now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def leave() -> None:
    """Spare the end of the process a search through all that exists, unless a library reports leaks."""
    if any(name in sys.modules for name in REPORTING):
        gc.unfreeze()
    else:
        gc.freeze()
