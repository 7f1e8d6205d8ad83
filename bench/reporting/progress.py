"""The display of events: live lines on a terminal or in a notebook, plain lines now and then elsewhere."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from bench.events import (
    Advance,
    BatchDone,
    Event,
    MetricsDone,
    Notice,
    RunDone,
    RunMeasuring,
    RunStarted,
    RunWaiting,
    StepDone,
    Working,
)
from bench.reporting.text import count, duration, one_line

if TYPE_CHECKING:
    from rich.status import Status

LIVE, PLAIN, SOON = 0.1, 15.0, 2.0
"""Seconds between updates on a terminal; between plain lines; until the first plain line of a phase."""


@dataclasses.dataclass
class _Run:
    """What the display knows of a run at work."""

    title: str
    prefix: str
    cached: int
    batches: int
    done: int = 0
    first_step: tuple[float, float] | None = None


class Display:
    """Draws events; call it with each. Enter it to start the live line.

    Args:
        console: Where lasting lines go.
        runs: Number of runs of the plan, for "run 2 of 12"; 1 leaves that out.
    """

    def __init__(self, console: Console, runs: int = 1) -> None:
        self.console = console
        self.runs, self.finished = runs, 0
        self.measured = 0
        self.live: Status | None = None
        if console.is_terminal or console.is_jupyter:
            self.live = console.status("")
        self.last_line = time.monotonic()
        self._active: dict[str, _Run] = {}
        self._phase, self._next_plain = "", 0.0

    def __enter__(self) -> Display:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case Notice():
                self._line(f"[yellow]notice[/]  {_escape(event.text)}")
            case Working():
                self._update(event.text)
            case Advance():
                self._advance(event)
            case RunStarted():
                self._run_started(event)
            case StepDone():
                self._step_done(event)
            case BatchDone():
                if event.fingerprint in self._active:
                    self._active[event.fingerprint].done += 1
            case RunWaiting():
                self._update(f"{event.title} · waiting for another process that works on it")
            case RunMeasuring():
                if self.live is not None:
                    self._update(f"{event.title} · measuring")
            case RunDone():
                self._run_done(event)
            case MetricsDone():
                self._metrics_done(event)

    def _advance(self, event: Advance) -> None:
        """A count on the live line; where there is none, a line once the phase takes long."""
        now = time.monotonic()
        total = "" if event.total is None else f" of {event.total}"
        text = f"{event.phase}: {event.done}{total} {event.unit}"
        if self.live is not None:
            self._update(text)
            return
        if event.phase != self._phase:
            self._phase, self._next_plain = event.phase, now + SOON
        elif now >= self._next_plain and event.done != event.total:
            self._next_plain = now + PLAIN
            self._line(_escape(text))

    def _run_started(self, event: RunStarted) -> None:
        place = f"run {self.finished + 1} of {self.runs} · " if self.runs > 1 else ""
        self._active[event.fingerprint] = _Run(event.title, place + event.title, event.cached, event.batches)
        if 0 < event.cached < event.batches:
            self._line(
                f"resuming {_escape(event.title)}: {event.cached} of {event.batches} batches are on disk"
            )
        phase = "loading and compiling" if event.compile else "loading"
        self._update(f"{place}{event.title} · {phase if event.cached < event.batches else 'measuring'}")

    def _step_done(self, event: StepDone) -> None:
        run = self._active.get(event.fingerprint)
        if run is None:
            return
        now = time.monotonic()
        batches = run.done + (event.done / event.total if event.total else 0)
        # time before the first step loads, compiles and warms up: it says nothing about later batches
        begin, first = run.first_step = run.first_step or (now, batches)
        if now - self.last_line < (LIVE if self.live is not None else PLAIN):
            return
        text = f"{run.prefix} · batch {run.cached + run.done + 1} of {run.batches}"
        if event.total is None:
            text += f" · NFE {event.calls}"
        else:
            text += f" · step {event.done} of {event.total} · NFE {event.calls}"
            if batches > first:
                rest = (now - begin) / (batches - first) * (run.batches - run.cached - batches)
                text += f" · {duration(rest)} left"
        self._update(text)

    def _run_done(self, event: RunDone) -> None:
        self.finished += 1
        self._active.pop(event.fingerprint, None)
        if event.status == "failed":
            self._line(f"[red]failed[/]  {_escape(event.title)}: {_escape(event.reason)}")
            return
        values = ", ".join(f"{label} {value:.4g}" for label, value in event.values.items())
        state = "cached " if event.cached else "done   "
        nfe = "" if event.nfe is None else f", NFE {event.nfe:g}"
        self._line(f"[green]{state}[/] {_escape(event.title)}: {_escape(values)}{nfe}")

    def _metrics_done(self, event: MetricsDone) -> None:
        self.finished += 1
        for label, reason in event.failures.items():
            self._line(f"[red]failed[/]  {_escape(f'{event.title}: {label}: {reason}, log {event.log}')}")
        if event.failed:
            return
        values = ", ".join(
            f"{label} {value:.4g}{' †' if event.notes[label] else ''}"
            for label, value in event.values.items()
        )
        if values:
            self.measured += 1
            self._line(f"[green]done   [/] {_escape(event.title)}: {_escape(values)}")

    def on_disk(self) -> str:
        """What an interruption leaves on disk: the runs that are recorded, batches of runs at work."""
        parts = []
        if self.finished:
            verb = "is" if self.finished == 1 else "are"
            parts.append(f"{self.finished} of {count(self.runs, 'run')} {verb} recorded")
        at_work = list(self._active.values())
        batches = sum(run.cached + run.done for run in at_work)
        if batches:
            title = at_work[0].title if len(at_work) == 1 else count(len(at_work), "run")
            verb = "is" if batches == 1 else "are"
            total = sum(run.batches for run in at_work)
            parts.append(f"{batches} of {total} batches of {title} {verb} on disk")
        return ", ".join(parts)

    def _update(self, text: str) -> None:
        """Replace the live line, or print a plain one."""
        self.last_line = time.monotonic()
        if self.live is not None:
            self.live.update(_escape(text))
        else:
            self.console.print(_escape(text), soft_wrap=True)

    def _line(self, markup: str) -> None:
        """Print a lasting line."""
        self.console.print(markup, soft_wrap=True)


def _escape(text: str) -> str:
    """Text with names for a rich console: without markup and unprintable characters."""
    return escape(one_line(text))
