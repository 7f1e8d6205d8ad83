"""The progress channel: every event is plain data, and the display takes every event."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from typing import get_args

import pytest

from bench import events
from bench.events import (
    Advance,
    BatchDone,
    Emit,
    Event,
    MetricsDone,
    Notice,
    RunDone,
    RunMeasuring,
    RunStarted,
    RunWaiting,
    StepDone,
    Working,
    silent,
)
from bench.reporting.progress import Display
from tests.support.screens import screen

EVENTS: tuple[Event, ...] = (
    Working("reading"),
    Advance("measuring", 1, 2, "images"),
    Advance("a.bin", 5, None, "bytes"),
    RunStarted("f", "a run", cached=0, batches=2),
    StepDone("f", batch=0, done=1, total=3, calls=1),
    StepDone("f", batch=1, done=1, total=None, calls=6),
    BatchDone("f", 0),
    BatchDone("of a run that has not started", 0),
    RunWaiting("f", "a run"),
    RunMeasuring("f", "a run"),
    Notice("[b]out of the ordinary[/b]"),
    RunDone("f", "a run", "finished", cached=False, values={"fd": 1.5}, nfe=4.0),
    RunDone("g", "another", "failed", cached=False, values={}, nfe=None, reason="ValueError: [b]"),
    MetricsDone("f", "a run", failed=True, values={"kid": 0.5}, notes={}, failures={"fd": "no [rows]"}),
)
"""Events of every kind, in an order in which a command could emit them."""


def test_every_class_is_an_event() -> None:
    classes = {cls for _, cls in inspect.getmembers(events, inspect.isclass) if dataclasses.is_dataclass(cls)}
    assert set(get_args(Event)) == classes == {type(event) for event in EVENTS}


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_plain_data(event: Event) -> None:
    assert pickle.loads(pickle.dumps(event)) == event
    field = dataclasses.fields(event)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, field, "changed")
    with pytest.raises((AttributeError, TypeError)):
        object.__setattr__(event, "another", 1)


@pytest.mark.parametrize("terminal", [False, True])
def test_the_display_takes_every_event(terminal: bool) -> None:
    console, text = screen(terminal=terminal)
    with Display(console) as display:
        for event in EVENTS:
            display(event)
    assert "[b]out of the ordinary[/b]" in text.getvalue()


def test_silence_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    emit: Emit = silent
    for event in EVENTS:
        emit(event)
    assert capsys.readouterr() == ("", "")
