"""The order in which runs are handed to an executor."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from bench.plan.forecast import Forecast
from bench.results.run_spec import RunSpec


def in_order(
    runs: Sequence[RunSpec], needed: Collection[str] = (), forecast: Forecast | None = None
) -> list[RunSpec]:
    """The runs in the order in which their batches are handed out.

    Samples that metrics read come first, whether or not the user asked for the run. With a forecast,
    checkpoints follow one another, each as a whole since workers hold one model, and their runs by the time
    of a batch: the longest first, as the last ones decide how long workers are idle at the end. Runs of
    unknown time count as long.

    Args:
        runs: The runs.
        needed: Fingerprints of runs whose samples metrics read.
        forecast: What batches take, by earlier records; None keeps the order of the plan.
    """
    if forecast is None:
        return sorted(runs, key=lambda run: run.fingerprint not in needed)
    seconds: dict[str, float] = {}
    longest: dict[str, float] = {}
    for run in runs:
        expected = forecast.batch_seconds(run)
        own = seconds[run.fingerprint] = math.inf if expected is None else expected
        longest[run.card.name] = max(own, longest.get(run.card.name, 0.0))

    def rank(run: RunSpec) -> tuple[bool, float, str, float]:
        name = run.card.name
        return run.fingerprint not in needed, -longest[name], name, -seconds[run.fingerprint]

    return sorted(runs, key=rank)
