"""The cost of a sampler besides its network, measured; ratios within one run.

    python -m tests.benchmarks.overhead results/reference

writes overhead.csv (a predictor-corrector step over a network that costs nothing, against the floor
of two normal draws and two fused passes) and prints the share of time in the network and the memory.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bench import Model, Noise, NoiseLevel, Prediction, Sampler, Update
from bench.diffusion.noise import noise_streams
from tests.support.plugins import installed

Loop = Callable[[tuple[int, ...], int], Callable[[], Tensor]]
"""A run over states of a size, of so many steps, ready to be called."""

SIZES = [(batch, 3, side, side) for side in (8, 32) for batch in (16, 64, 256)]
ALLOWED = {8: 3.0, 32: 1.3}


class Free(Model):
    """A network that costs nothing: it returns one tensor."""

    def __init__(self, answer: Tensor) -> None:
        self.shape = tuple(answer.shape[1:])
        self.answer = answer

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.answer

    def images(self, x: Tensor) -> Tensor:
        return x


def sampler(steps: int, predictor: str = "reverse_diffusion", corrector: str = "langevin") -> Sampler:
    """A predictor-corrector sampler on VP."""
    registry = installed()
    return Sampler(
        sde=registry.build("sdes", "vp", {}),
        predictor=registry.build("predictors", predictor, {}),
        corrector=registry.build("correctors", corrector, {}),
        steps=steps,
    )


def step_loop(size: tuple[int, ...], steps: int) -> Callable[[], Tensor]:
    """A whole run of ``steps`` predictor-corrector steps over the free network."""
    pc = sampler(steps)
    _, predictor, corrector = noise_streams(0, 0, torch.device("cpu"))
    prior = torch.randn(size)
    model = Free(torch.randn(size) * 1e-3)
    return lambda: pc.run(prior, Prediction(model, pc.sde), predictor, corrector)


def plain(pc: Sampler, prior: Tensor, p: Prediction, predictor: Noise, corrector: Noise) -> Tensor:
    """`Sampler.run` with the corrector first, without checks, conditions and progress."""
    assert pc.predictor is not None
    assert pc.corrector is not None
    x = prior * pc.sde.prior_std
    update = Update(x, x)
    for step in pc.schedule():
        for _ in range(pc.corrector.calls):
            x = pc.corrector.step(x, step, p, corrector).x
        update = pc.predictor.step(x, step, p, predictor, update.state)
        x = update.x
    return update.mean


def plain_loop(size: tuple[int, ...], steps: int) -> Callable[[], Tensor]:
    """As `step_loop`, by `plain`."""
    pc = sampler(steps)
    _, predictor, corrector = noise_streams(0, 0, torch.device("cpu"))
    prior = torch.randn(size)
    model = Free(torch.randn(size) * 1e-3)
    return lambda: plain(pc, prior, Prediction(model, pc.sde), predictor, corrector)


def floor_loop(size: tuple[int, ...], steps: int) -> Callable[[], Tensor]:
    """``steps`` times two normal draws and two fused passes: one elementwise kernel over three tensors."""
    generator = torch.Generator().manual_seed(0)
    score = torch.randn(size) * 1e-3

    def run() -> Tensor:
        x = torch.zeros(size)
        for _ in range(steps):
            for _ in range(2):
                x = torch.addcmul(x, score, torch.randn(size, generator=generator))
        return x

    return run


class Cost(NamedTuple):
    """Microseconds per predictor-corrector step, of ours and of the floor, and the ratio of the two.

    Medians over alternating rounds; the ratio is the median of the rounds' own ratios, as a disturbance
    of the machine affects both halves of a round.
    """

    step: float
    floor: float
    ratio: float


def step_cost(size: tuple[int, ...], rounds: int = 31, against: Loop = floor_loop) -> Cost:
    """Ours against the floor (or the plain loop), in alternation: the machine's noise affects both."""
    steps = 100 if size[2] == 8 else 25
    loops = (step_loop(size, steps), against(size, steps))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for loop, seconds in zip(loops, times, strict=True):
            start = time.perf_counter()
            loop()
            seconds.append((time.perf_counter() - start) / steps * 1e6)
    ours, floor = (seconds[1:] for seconds in times)
    ratio = statistics.median(a / b for a, b in zip(ours, floor, strict=True))
    return Cost(statistics.median(ours), statistics.median(floor), ratio)


def peak_memory(steps: int, batch: int = 64) -> tuple[int, int]:
    """Peak bytes of live tensors, and of Python objects, that a run adds.

    Python's grow with the run's schedule: one `bench.Step` of floats per step, below a kilobyte.
    """
    from torch.profiler import ProfilerActivity, profile

    loop = step_loop((batch, 3, 8, 8), steps)
    loop()
    tracemalloc.start()
    loop()
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        loop()
    live = most = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            most = max(most, live)
    return most, python


def network_share(batch: int = 64, steps: int = 4) -> float:
    """Share of a predictor-corrector batch's time that is spent in ``cifar10-tiny``'s network."""
    from bench.engine.batch import run_batch
    from bench.engine.session import Session
    from tests.support.plans import quick_spec

    spec = quick_spec(
        checkpoint=["cifar10-tiny"], corrector=["langevin"], samples=batch, batch_size=batch, steps=25 + steps
    )
    session = Session(installed())
    run_batch(spec, 0, session)
    facts = run_batch(spec, 0, session).facts
    return facts.network_seconds / facts.seconds


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "overhead.csv").open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(
            ["batch", "channels", "height", "width", "step_us", "floor_us", "ratio", "allowed", "threads"]
        )
        for size in SIZES:
            cost = step_cost(size)
            row = [*size, f"{cost.step:.1f}", f"{cost.floor:.1f}", f"{cost.ratio:.2f}", ALLOWED[size[2]]]
            writer.writerow([*row, torch.get_num_threads()])
            print(*row)
    for size in SIZES:
        ratio = step_cost(size, against=plain_loop).ratio
        print(f"a run without a condition against a plain loop over its steps, {size}: {ratio:.3f}")
    print("share of time in cifar10-tiny's network at batch 64:", f"{network_share():.3f}")
    for steps in (50, 500):
        tensors, python = peak_memory(steps)
        print(
            f"peak of a batch of 64 x 3x8x8 at {steps} steps: {tensors} bytes in tensors, {python} in Python"
        )


if __name__ == "__main__":
    main()
