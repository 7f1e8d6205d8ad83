"""The size of mistake that `bench check` finds: ``python -m tests.benchmarks.check_power FOLDER``.

Sound samplers on VP, each with its noise, its drift (the score's term) or the time that it tells the network
off by 0, 1, 3 and 10 %: one without noise, one with normal noise, which is linear, and three with signs for
noise, which are not: with a declared order, without one, and with heavy steps, of which fewer are taken.
Writes FOLDER/check_power.csv: for each check, in how many of the runs, which differ in the seed of the noise,
it fails; 0 % is the check's false alarms. Checks without noise have one run.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch

from bench import Noise, Prediction, Predictor, Step, Tensor, Update
from bench.testing.context import CheckContext
from bench.testing.convergence import check_convergence
from bench.testing.cost import HEAVY
from bench.testing.distribution import check_law
from bench.testing.network import times
from bench.testing.report import Finding
from tests.support.plugins import installed

SIZES = (0.0, 0.01, 0.03, 0.1)
SEEDS = 2
COLUMNS = ("check", "sampler", "mistake", "size", "found", "runs")


class Scaled(Predictor):
    """Euler-Maruyama, or Euler's method on the flow, with a part off by a share."""

    name = "scaled"
    convergence_order: ClassVar[float | None] = 1.0
    mistake: ClassVar[str] = ""
    size: ClassVar[float] = 0.0
    noisy: ClassVar[bool] = True

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        return noise(x)

    def off(self, what: str) -> float:
        """The factor of a part."""
        return 1 + self.size * (self.mistake == what)

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        level = dataclasses.replace(step, t=step.t * self.off("time"))
        g, half = step.diffusion, 1.0 if self.noisy else 0.5
        score = p.score(x, level) * self.off("drift")
        mean = x - (step.drift * x - half * g**2 * score) * step.dt
        if not self.noisy:
            return Update(mean, mean)
        return Update(mean + self.off("noise") * g * step.dt**0.5 * self.draw(x, noise), mean)


class Linear(Scaled):
    """Declared linear, so that its moments are known without sampling noise."""

    name = "scaled_linear"
    linear = True


class Signs(Scaled):
    """Signs for noise."""

    name = "scaled_signs"

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        return noise(x).sign()


class Undeclared(Signs):
    """Signs for noise, and no order declared."""

    name = "scaled_undeclared"
    convergence_order = None


class Heavy(Signs):
    """Signs for noise, and a step of many calls of torch."""

    name = "scaled_heavy"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        for _ in range(HEAVY):
            torch.zeros(1)
        return super().step(x, step, p, noise, state)


class Flow(Scaled):
    """Without noise."""

    name = "scaled_flow"
    noisy = False


def variant(cls: type[Scaled], mistake: str, size: float) -> Scaled:
    """A sampler with a mistake."""
    subclass: type[Scaled] = type(
        cls.__name__, (cls,), {"mistake": mistake, "size": size, "__module__": __name__}
    )
    return subclass()


Check = Callable[[Scaled, CheckContext], Iterator[Finding]]


def first_sde(check: Any) -> Check:
    """A check of one SDE, on the context's first."""
    return lambda part, context: check(part, context.sdes[0], context)


CASES: tuple[tuple[str, str, type[Scaled], Check, tuple[str, ...], int], ...] = (
    ("convergence", "no noise", Flow, check_convergence, ("drift",), 1),
    ("convergence", "linear", Linear, check_convergence, ("noise", "drift"), 1),
    ("law", "not linear", Signs, first_sde(check_law), ("noise", "drift"), SEEDS),
    ("law", "no order declared", Undeclared, first_sde(check_law), ("noise",), SEEDS),
    ("law", "heavy steps", Heavy, first_sde(check_law), ("noise",), SEEDS),
    ("time of a level", "no noise", Flow, times, ("time",), 1),
)


Row = tuple[str, str, str, float, int, int]


def rows() -> Iterator[Row]:
    """The rows of the table."""
    for check, sampler, cls, run, mistakes, seeds in CASES:
        for mistake in mistakes:
            for size in SIZES:
                failures = 0
                for seed in range(seeds):
                    context = CheckContext(installed(), ("vp",), seed)
                    part = variant(cls, mistake, size)
                    results = [one for one in run(part, context) if one.name.startswith((check, "uneven"))]
                    failures += any(one.status == "fail" for one in results)
                print(check, sampler, mistake, size, failures, seeds, flush=True)
                yield check, sampler, mistake, size, failures, seeds


def main(folder: str) -> None:
    """Write the table."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with (target / "check_power.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows())


if __name__ == "__main__":
    main(sys.argv[1])
