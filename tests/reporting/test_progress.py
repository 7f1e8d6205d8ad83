"""The display of events: one live line on a terminal, a line per run in a log file."""

from __future__ import annotations

import time

import pytest
from rich.cells import cell_len

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
from bench.plan.forecast import Forecast
from bench.reporting import progress
from bench.reporting.progress import Display
from tests.support.plans import quick_spec
from tests.support.screens import Time, screen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr("bench.reporting.progress.time", clock)
    return clock


def lines_of(*events: Event, forecast: Forecast | None = None) -> list[str]:
    """What the display prints of these events into a log file."""
    out, text = screen(terminal=False)
    with Display(out) as display:
        if forecast is not None:
            display.expect(forecast)
        for event in events:
            display(event)
    return text.getvalue().splitlines()


class Live:
    """A display on a terminal; `line` is what its live line says."""

    def __init__(self, width: int = 200, forecast: Forecast | None = None) -> None:
        console, self.text = screen(terminal=True, width=width)
        self.display = Display(console)
        if forecast is not None:
            self.display.expect(forecast)

    def line(self, *events: Event) -> str:
        for event in events:
            self.display(event)
        assert self.display._bar is not None
        (task,) = self.display._bar.tasks
        return task.description

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *exc: object) -> None:
        self.display.clear()


def test_the_remaining_time_leaves_out_loading_and_compiling(clock: Time) -> None:
    """100 s until the first step, then 20 s a step: after 3 steps of 5 in 2 batches 7 remain."""
    with Live() as live:
        lines = [live.line(RunStarted("f", "a run", 0, 2, compile=True))]
        clock.now = 100
        for step in (1, 2, 3):
            lines.append(live.line(StepDone("f", 0, step, 5, step)))
            clock.now += 20
        lines.append(live.line(BatchDone("f", 0), StepDone("f", 1, 1, 5, 1)))
    assert [line.removeprefix("a run · ") for line in lines] == [
        "loading and compiling",
        "batch 1 of 2 · step 1 of 5 · NFE 1",
        "batch 1 of 2 · step 2 of 5 · NFE 2 · 2 min 40 s left",
        "batch 1 of 2 · step 3 of 5 · NFE 3 · 2 min 20 s left",
        "batch 2 of 2 · step 1 of 5 · NFE 1 · 48 s left",
    ]


def test_the_phase_before_the_first_step_is_named() -> None:
    with Live() as live:
        assert live.line(RunStarted("f", "a run", 0, 1)) == "a run · loading"
        assert live.line(RunStarted("f", "a run", 1, 1, compile=True)) == "a run · measuring"


def test_every_run_ends_in_a_lasting_line() -> None:
    lines = lines_of(
        RunDone("f", "one", "finished", cached=True, values={"fd": 1.23456}, nfe=10.0),
        RunDone("g", "two", "failed", cached=False, values={}, nfe=None, reason="ValueError: [odd]"),
        Notice("a file is damaged"),
    )
    assert lines == [
        "cached  one: fd 1.235, NFE 10",
        "failed  two: ValueError: [odd]",
        "notice  a file is damaged",
    ]


def three_runs() -> tuple[Forecast, list[str]]:
    """Three runs of 16 samples and 30 calls, of which nothing is known."""
    forecast = Forecast(3)
    specs = [quick_spec(seed=seed) for seed in range(3)]
    for spec in specs:
        forecast.add(spec, 16, 30.0)
    return forecast, [spec.fingerprint for spec in specs]


def finish(fingerprint: str, seconds: float = 60.0) -> RunDone:
    return RunDone(fingerprint, "a run", "finished", False, {"fd": 1.0}, 30.0, "", seconds)


def test_the_time_left_is_of_all_runs(clock: Time) -> None:
    """The first run takes 60 s: after a fifth of the second, 48 s and another 60 s are left."""
    forecast, (a, b, c) = three_runs()
    with Live(forecast=forecast) as live:
        live.display(RunStarted(a, "a run", 0, 2))
        clock.now = 0.5
        line = live.line(StepDone(a, 0, 1, 5, 1))
        assert line.endswith(" · NFE 1 · 3 runs of unknown time left")
        clock.now = 6.5
        line = live.line(StepDone(a, 0, 2, 5, 2))
        assert line == (
            "run 1 of 3 · a run · batch 1 of 2 · step 2 of 5 · NFE 2 · run 48 s, "
            "all 48 s left, 2 runs of unknown time aside"
        )
        clock.now = 60
        live.display(finish(a))
        live.display(RunStarted(b, "a run", 0, 2))
        clock.now = 60.5
        line = live.line(StepDone(b, 0, 1, 5, 1))
        assert line.endswith(" · NFE 1 · all 2 min 00 s left")
        clock.now = 66.5
        assert live.line(StepDone(b, 0, 2, 5, 2)).endswith(" · run 48 s, all 1 min 48 s left")
        # an adaptive solver has no steps: what its records say, less what has passed
        live.display(RunStarted(c, "a run", 0, 2))
        clock.now = 96.5
        assert live.line(StepDone(c, 0, 7, None, 7)).endswith(" · workers 40% 0% · all 1 min 18 s left")


def test_several_workers_show_what_each_has_done_and_share_the_time(clock: Time) -> None:
    """Two batches of a run at 20 % and 60 % of 5 steps, then one of them done; 60 s a run, two at once."""
    forecast = Forecast(3, at_once=2)
    specs = [quick_spec(seed=seed) for seed in range(3)]
    for spec in specs:
        forecast.add(spec, 16, 30.0)
    a, b, c = (spec.fingerprint for spec in specs)
    del b, c
    with Live(forecast=forecast) as live:
        live.display(RunStarted(a, "a run", 0, 2))
        live.display(StepDone(a, 0, 1, 5, 1))
        clock.now = 6
        line = live.line(StepDone(a, 1, 3, 5, 3))
        assert line.startswith("run 1 of 3 · a run · batch 1 of 2 · workers 20% 60% · ")
        live.display(BatchDone(a, 1))
        clock.now = 12
        assert " · batch 2 of 2 · step 4 of 5 · NFE 4 · " in live.line(StepDone(a, 0, 4, 5, 4))
        live.display(finish(a))
        # two runs of 60 s, two batches at a time
        assert live.display._total_left() == "all 1 min 00 s left"


def test_a_log_file_has_a_line_per_run_with_the_time_of_all_that_are_left(clock: Time) -> None:
    forecast, (a, b, c) = three_runs()
    steps: list[Event] = []
    for place in range(100):
        steps.append(StepDone(b, place // 50, place % 50, 50, place))
        clock.now += 1
    events = [
        RunStarted(a, "a run", 0, 2),
        finish(a),
        RunStarted(b, "a run", 0, 2),
        *steps,
        RunMeasuring(b, "a run"),
        RunWaiting(b, "a run"),
        RunDone(b, "a run", "failed", False, {}, None, "broken"),
        RunDone(c, "a run", "finished", True, {"fd": 1.0}, 30.0),
    ]
    assert lines_of(*events, forecast=forecast) == [
        "done    a run: fd 1, NFE 30 · 1 of 3, all 2 min 00 s left",
        "a run · waiting for another process that works on it",
        "failed  a run: broken · 2 of 3, all 1 min 00 s left",
        "cached  a run: fd 1, NFE 30 · 3 of 3",
    ]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_live_line_fits_the_terminal(width: int) -> None:
    forecast, (a, _, _) = three_runs()
    title = "gaussian-cifar10 · vp 質量 · " * 8
    counts: list[Event] = [Advance(title, 5, 10, "images"), Advance(f"{title}.pt", 5, None, "bytes")]
    events: list[Event] = [RunStarted(a, title, 0, 2), Working(title), *counts, RunWaiting(a, title)]
    for event in events:
        with Live(width, forecast) as live:
            live.line(event)
            assert live.display._bar is not None
            rows = live.display.console.render_lines(live.display._bar.get_renderable())
            assert len(rows) == 1
            assert sum(segment.cell_length for segment in rows[0]) <= width


def test_the_title_is_cut_and_the_time_stays(clock: Time) -> None:
    with Live(90) as live:
        live.display(RunStarted("f", "ancestral " * 20, 0, 2))
        live.display(StepDone("f", 0, 1, 5, 1))
        clock.now = 20
        line = live.line(StepDone("f", 0, 2, 5, 2))
    assert line.startswith("ancestral ancestral")
    assert line.endswith("… · batch 1 of 2 · step 2 of 5 · NFE 2 · 2 min 40 s left")
    assert cell_len(line) == 88


@pytest.mark.parametrize(
    ("width", "details"),
    [
        (120, " · batch 1 of 2 · step 2 of 5 · NFE 2"),
        (95, " · batch 1 of 2 · step 2 of 5"),
        (80, " · batch 1 of 2"),
        (60, ""),
    ],
)
def test_where_room_is_short_the_details_go_first(clock: Time, width: int, details: str) -> None:
    forecast, (a, _, c) = three_runs()
    forecast.finish(c, 30.0, 60.0)
    with Live(width, forecast) as live:
        live.display(RunStarted(a, "ancestral " * 20, 0, 2))
        live.display(StepDone(a, 0, 1, 5, 1))
        clock.now = 6
        line = live.line(StepDone(a, 0, 2, 5, 2))
    assert line.startswith("run 1 of 3 · ancestral")
    assert line.endswith(f"…{details} · run 48 s, all 1 min 48 s left")
    assert cell_len(line) == width - 2


def test_lasting_lines_are_folded_between_words_on_a_terminal() -> None:
    with Live(60) as live:
        live.line(Working("x"), Notice("word " * 30))
        live.display.clear()
    rows = [row for row in live.text.getvalue().splitlines() if "word" in row]
    assert len(rows) == 3
    assert sum(row.count("word") for row in rows) == 30


def test_lines_of_long_work_come_now_and_then_and_not_at_the_end(clock: Time) -> None:
    out, text = screen(terminal=False)
    with Display(out) as display:
        for now, done_ in ((0, 0), (1, 10), (2.5, 20), (3, 30), (18, 40), (40, 50)):
            clock.now = now
            display(Advance("measuring them", done_, 50, "images"))
        for now, total in ((41, 12_000_000), (44, 12_000_000), (60, None)):
            clock.now = now
            display(Advance("weights.pt", 5_000_000, total, "bytes"))
    assert text.getvalue().splitlines() == [
        "measuring them: 20 of 50 images",
        "measuring them: 40 of 50 images",
        "fetching weights.pt: 5 MB of 12 MB",
        "fetching weights.pt: 5 MB",
    ]


def test_long_work_without_a_count_is_said_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SOON", 0.2)
    out, text = screen(terminal=False)
    with Display(out) as display:
        display(Working("copying quickly"))
        display(Working("checking [b]x[/b]\x1b"))
        end = time.monotonic() + 20
        while not text.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        display(Working("reading x"))
    time.sleep(0.4)
    assert text.getvalue() == "checking [b]x[/b]\\u001b …\n"


def test_a_terminal_has_one_line_that_goes_away() -> None:
    with Live() as live:
        live.line(Advance("measuring [them]", 0, 50, "images"), Notice("a [line]"))
        assert live.line(Advance("measuring [them]", 20, 50, "images")) == "measuring [them]"
        assert live.line(Advance("weights.pt", 5_000_000, None, "bytes")) == "fetching weights.pt"
        assert live.display._bar is not None
        live.display._bar.refresh()
        live.line(Working("reading"))
        live.display.clear()
        assert live.display._bar is None
    text = live.text.getvalue()
    assert "a [line]" in text
    assert "fetching weights.pt" in text
    assert "5 MB" in text
    assert text.endswith("\x1b[2K")


def test_a_count_of_another_phase_leaves_nothing_behind() -> None:
    """The total of one phase is not the next one's."""
    with Live() as live:
        live.line(Advance("a", 5, 10, "images"))
        live.line(Advance("b.pt", 5, None, "bytes"))
        assert live.display._bar is not None
        (task,) = live.display._bar.tasks
        assert (task.total, task.completed) == (None, 5)
        live.line(Advance("a", 0, 20, "images"))
        assert (task.total, task.completed) == (20, 0)
        live.line(Working("c"))
        assert (task.total, task.fields["amount"]) == (None, "")


def test_new_metrics_are_told_with_those_that_failed() -> None:
    event = MetricsDone("f", "a run", False, {"kid": 0.5}, {"kid": "short"}, {"fd": "no [rows]"}, "log")
    assert lines_of(event) == ["failed  a run: fd: no [rows], log log", "done    a run: kid 0.5 †"]


def _remains(*events: Event, runs: int = 1) -> str:
    display = Display(screen(terminal=False)[0])
    display.expect(Forecast(runs))
    for event in events:
        display(event)
    return display.on_disk()


def test_an_interruption_claims_what_is_on_disk_and_nothing_else() -> None:
    start = RunStarted("f", "a", 0, 4, False)
    assert _remains() == ""
    assert _remains(start) == ""
    assert _remains(start, StepDone("f", 0, 9, 10, 9)) == ""
    assert _remains(start, BatchDone("f", 0)) == "1 of 4 batches of a is on disk"
    assert _remains(RunStarted("f", "a", 3, 4, False)) == "3 of 4 batches of a are on disk"
    done = RunDone("f", "a", "finished", False, {}, 1.0, "")
    other = RunStarted("g", "b", 1, 2, False)
    assert _remains(start, done, runs=3) == "1 of 3 runs is recorded"
    assert _remains(start, done, other, runs=3) == "1 of 3 runs is recorded, 1 of 2 batches of b is on disk"
    assert _remains(start, other, BatchDone("f", 0)) == "2 of 6 batches of 2 runs are on disk"
