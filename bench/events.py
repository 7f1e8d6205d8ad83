"""The one progress channel: typed events from every room to one display.

A function that takes long accepts ``emit`` and calls it with events; the default, `silent`, ignores them.
The command line and notebooks draw them; programs may collect them in a list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """A lasting line about something out of the ordinary; the work goes on.

    Args:
        text: The line.
    """

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Working:
    """A phase without a count that may take long, such as compiling; the next event ends it."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Advance:
    """``done`` of ``total`` units of a phase are complete.

    Args:
        phase: What is under way, in a few words; a download is called by its file's name.
        done: Number of complete units.
        total: Number of units in all; None where it is unknown.
        unit: What is counted: images, bytes, checks or batches.
    """

    phase: str
    done: int
    total: int | None
    unit: Literal["images", "bytes", "checks", "batches"]


@dataclasses.dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins: ``cached`` of its ``batches`` are on disk."""

    fingerprint: str
    title: str
    cached: int
    batches: int
    compile: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class StepDone:
    """Steps of a batch are complete.

    Args:
        fingerprint: The run.
        batch: Index of the batch within the run.
        done: Number of complete steps.
        total: Number of steps in all; None for a solver, which does not know it in advance.
        calls: Network calls per sample until now.
    """

    fingerprint: str
    batch: int
    done: int
    total: int | None
    calls: int


@dataclasses.dataclass(frozen=True, slots=True)
class BatchDone:
    """A batch is on disk."""

    fingerprint: str
    batch: int


@dataclasses.dataclass(frozen=True, slots=True)
class RunWaiting:
    """Another process works on the run's batches; this process waits for it."""

    fingerprint: str
    title: str


@dataclasses.dataclass(frozen=True, slots=True)
class RunMeasuring:
    """All batches of a run are on disk; its metrics are computed."""

    fingerprint: str
    title: str


@dataclasses.dataclass(frozen=True, slots=True)
class RunDone:
    """A run has a record; ``cached`` says that it was on disk already.

    ``values`` are its metrics by label; ``nfe`` and ``seconds`` are its cost, None where it has none;
    ``reason`` says why it failed and is empty otherwise.
    """

    fingerprint: str
    title: str
    status: Literal["finished", "failed"]
    cached: bool
    values: dict[str, float]
    nfe: float | None
    reason: str = ""
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class MetricsDone:
    """More metrics of a recorded run are computed: values and notes by label, and why others failed."""

    fingerprint: str
    title: str
    failed: bool
    values: dict[str, float]
    notes: dict[str, str]
    failures: dict[str, str]
    log: str = ""


Event = (
    Notice
    | Working
    | Advance
    | RunStarted
    | StepDone
    | BatchDone
    | RunWaiting
    | RunMeasuring
    | RunDone
    | MetricsDone
)
Emit = Callable[[Event], None]
"""``emit(event)`` reports an event. It must not raise."""


def silent(event: Event) -> None:
    """Ignore an event: the default of every ``emit``.

    Args:
        event: Any event.
    """
    del event
