"""The one display of events: a live line on a terminal or in a notebook; elsewhere, for log files, a line for
each run, and now and then one for other work that takes long."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING

from rich.cells import cell_len
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
from bench.reporting.text import amount, count, duration, make_printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from bench.plan.forecast import Forecast

LIVE, PLAIN, SOON = 0.1, 15.0, 2.0
"""Seconds between updates on a terminal; between plain lines; until the first plain line of a phase."""

SPINNER, COUNT = 2, 58
"""Columns of a terminal beside a phase's text, without and with its bar, count and time."""
TITLE = 16
"""Columns of a title that are worth more than a run's details."""


@dataclasses.dataclass
class _Run:
    """What the display knows of a run at work."""

    title: str
    place: str
    cached: int
    batches: int
    begin: float
    done: int = 0
    at_work: dict[int, float] = dataclasses.field(default_factory=dict)
    """The share of each batch at work that is done, 0 where that is unknown."""
    first_step: tuple[float, float] | None = None
    rest: float | None = None
    """Seconds that it still takes, as its steps show."""


class Display:
    """Draws events; call it with each. Leave it, or `clear` it, to remove the live line.

    Args:
        console: Where lines go.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = console.is_terminal or console.is_jupyter
        self.forecast: Forecast | None = None
        self.runs, self.finished, self.measured = 1, 0, 0
        self._active: dict[str, _Run] = {}
        self._bar: Progress | None = None
        self._drawn = float("-inf")
        self._phase, self._next_plain = "", 0.0
        self._timer: threading.Timer | None = None
        self._working_since: float | None = None
        self._waited_for: set[str] = set()

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def expect(self, forecast: Forecast) -> None:
        """Count the runs of a plan, "run 2 of 12", and tell the time that is left of all."""
        self.forecast, self.runs = forecast, forecast.runs

    def clear(self) -> None:
        """Remove the live line, before other output; the next event draws it again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._working_since = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case Notice():
                self._line(f"[yellow]notice[/]  {_escape(event.text)}")
            case Working():
                self._working(event.text)
            case Advance():
                self._advance(event)
            case RunStarted():
                self._run_started(event)
            case StepDone():
                self._step_done(event)
            case BatchDone():
                if event.fingerprint in self._active:
                    self._active[event.fingerprint].done += 1
                    self._active[event.fingerprint].at_work.pop(event.batch, None)
            case RunWaiting():
                self._run_waiting(event.title)
            case RunMeasuring():
                self._draw(self._place(event.fingerprint), event.title, " · measuring")
            case RunDone():
                self._run_done(event)
            case MetricsDone():
                self._metrics_done(event)

    def _run_waiting(self, title: str) -> None:
        """What the command waits for, on the live line; where there is none, a line once for each run."""
        waiting = "waiting for another process that works on it"
        if self.live:
            self._draw("", title, f" · {waiting}")
        elif title not in self._waited_for:
            self._waited_for.add(title)
            self._line(f"{_escape(title)} · {waiting}")

    def _working(self, text: str) -> None:
        """A phase on the live line; where there is none, a line once it takes long."""
        if self.live:
            self._draw("", text, "")
            return
        now = time.monotonic()
        since = now if self._working_since is None else self._working_since
        self.clear()
        self._working_since = since
        self._timer = threading.Timer(max(0.0, since + SOON - now), self._late_line, (text,))
        self._timer.daemon = True
        self._timer.start()

    def _late_line(self, text: str) -> None:
        """Report work that takes long; the next such line waits as long again."""
        self._working_since = time.monotonic()
        self._line(f"{_escape(text)} …")

    def _advance(self, event: Advance) -> None:
        """A bar with its count on the live line; where there is none, a line once the phase takes long."""
        # a download's phase is the name of its file
        phase = f"fetching {event.phase}" if event.unit == "bytes" else event.phase
        if self.live:
            fresh = event.phase != self._phase
            self._phase = event.phase
            self._draw("", phase, "", event, fresh=fresh)
            return
        self.clear()
        now = time.monotonic()
        if event.phase != self._phase:
            self._phase, self._next_plain = event.phase, now + SOON
        elif now >= self._next_plain and event.done != event.total:
            self._next_plain = now + PLAIN
            self._line(_escape(f"{phase}: {_amount(event)}"))

    def _place(self, fingerprint: str) -> str:
        """``run 2 of 12 · ``; empty outside of a plan of several runs."""
        return self._active[fingerprint].place if fingerprint in self._active else ""

    def _run_started(self, event: RunStarted) -> None:
        place = f"run {self.finished + 1} of {self.runs} · " if self.runs > 1 else ""
        run = _Run(event.title, place, event.cached, event.batches, time.monotonic())
        self._active[event.fingerprint] = run
        if 0 < event.cached < event.batches:
            self._line(
                f"resuming {_escape(event.title)}: {event.cached} of {event.batches} batches are on disk"
            )
        phase = "loading and compiling" if event.compile else "loading"
        self._draw(place, event.title, f" · {phase if event.cached < event.batches else 'measuring'}")

    def _step_done(self, event: StepDone) -> None:
        run = self._active.get(event.fingerprint)
        if run is None:
            return
        now = time.monotonic()
        run.at_work[event.batch] = event.done / event.total if event.total else 0.0
        batches = run.done + sum(run.at_work.values())
        # time before the first step loads, compiles and warms up: it says nothing about later batches
        begin, first = run.first_step = run.first_step or (now, batches)
        if batches > first and event.total is not None:
            run.rest = (now - begin) / (batches - first) * (run.batches - run.cached - batches)
        if not self.live or now - self._drawn < LIVE:
            return
        details = [f" · batch {run.cached + run.done + 1} of {run.batches}"]
        shares = [share for one in self._active.values() for share in one.at_work.values()]
        if len(shares) > 1:  # of several workers: what each has done of its batch
            details.append(f" · workers {' '.join(f'{share:.0%}' for share in shares)}")
        else:
            if event.total is not None:
                details.append(f" · step {event.done} of {event.total}")
            details.append(f" · NFE {event.calls}")
        tail = self._time_left(run.rest)
        used = (
            SPINNER + cell_len(run.place) + min(TITLE, cell_len(make_printable(run.title))) + cell_len(tail)
        )
        while details and used + cell_len("".join(details)) > self.console.width:
            details.pop()
        self._draw(run.place, run.title, "".join(details) + tail)

    def _time_left(self, rest: float | None) -> str:
        """`` · 8 s left`` of a plan's only run; of several, also of all of them."""
        if self.runs == 1 or self.forecast is None:
            return "" if rest is None else f" · {duration(rest)} left"
        here = "" if rest is None else f" · run {duration(rest)}"
        return f"{here}{' · ' if rest is None else ', '}{self._total_left()}"

    def _total_left(self) -> str:
        """``all 2 min 05 s left``, with the number of runs whose time no record tells."""
        assert self.forecast is not None
        seconds, unknown = self.forecast.rest(self._active)
        for fingerprint, run in self._active.items():
            rest = run.rest
            if rest is None:
                expected = self.forecast.seconds(fingerprint)
                rest = None if expected is None else max(0.0, expected - (time.monotonic() - run.begin))
            seconds, unknown = seconds + (rest or 0.0), unknown + (rest is None)
        seconds /= self.forecast.at_once
        aside = f"{count(unknown, 'run')} of unknown time"
        if not unknown:
            return f"all {duration(seconds)} left"
        return f"all {duration(seconds)} left, {aside} aside" if round(seconds) else f"{aside} left"

    def _run_done(self, event: RunDone) -> None:
        self.finished += 1
        self._active.pop(event.fingerprint, None)
        if self.forecast is not None:
            self.forecast.finish(event.fingerprint, event.nfe, None if event.cached else event.seconds)
        # without a live line, this is the only line of the run
        tail = f" · {self.finished} of {self.runs}" if self.runs > 1 and not self.live else ""
        if tail and self.forecast is not None and self.finished < self.runs:
            tail += f", {self._total_left()}"
        if event.status == "failed":
            self._line(f"[red]failed[/]  {_escape(f'{event.title}: {event.reason}{tail}')}")
            return
        facts = [f"{label} {value:.4g}" for label, value in event.values.items()]
        state = "cached " if event.cached else "done   "
        facts += [] if event.nfe is None else [f"NFE {event.nfe:g}"]
        text = f"{event.title}: {', '.join(facts)}{tail}"
        self._line(f"[green]{state}[/] {_escape(text)}")

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

    def _draw(
        self, head: str, title: str, tail: str, counted: Advance | None = None, *, fresh: bool = True
    ) -> None:
        """Replace the live line; the title is cut where the line is wider than the terminal."""
        if not self.live:
            return
        now = time.monotonic()
        if not fresh and now - self._drawn < LIVE and counted is not None and counted.done != counted.total:
            return
        self._drawn = now
        head, title, tail = make_printable(head), make_printable(title), make_printable(tail)
        room = self.console.width - (SPINNER if counted is None else COUNT)
        text = f"{head}{_cut(title, room - cell_len(head) - cell_len(tail))}{tail}"
        line = self._live_line()
        (task,) = line.tasks
        if fresh:
            line.reset(task.id, description=text)
        if counted is None:
            self._phase = ""
            task.total = None
            line.update(task.id, amount="", speed=False)
        else:
            task.total = counted.total
            speed = counted.unit == "bytes"
            line.update(task.id, completed=counted.done, amount=_amount(counted), speed=speed)

    def _live_line(self) -> Progress:
        """The live line, started where there is none."""
        if self._bar is None:
            from bench.reporting.live_line import live_line

            self._bar = live_line(self.console)
            self._bar.add_task("", total=None, amount="", speed=False)
            self._bar.start()
        return self._bar

    def _line(self, markup: str) -> None:
        """Print a lasting line, folded between words on a terminal."""
        self.console.print(markup, soft_wrap=not self.live)


def _cut(text: str, room: int) -> str:
    """Text of at most so many columns of a terminal, but of a few in any case."""
    from rich.text import Text

    whole = Text(text)
    whole.truncate(max(room, 8), overflow="ellipsis")
    return whole.plain


def _amount(event: Advance) -> str:
    """``20 of 50 images``, ``5 MB of 12 MB``."""
    if event.unit == "bytes":
        return amount(event.done) + (f" of {amount(event.total)}" if event.total is not None else "")
    return f"{event.done}" + (f" of {event.total}" if event.total is not None else "") + f" {event.unit}"


def _escape(text: str) -> str:
    """Text with names for a rich console: without markup and unprintable characters."""
    return escape(make_printable(text))
