"""The bias of completion by replacement, by corrector moves and steps, without sampling noise.

    python -m tests.benchmarks.replacement results/reference

writes replacement.csv: ``conditional_fd`` of reverse diffusion with annealed Langevin on `gaussian-cifar10`
thinned to 8 x 8 coefficients, by the recursion of tests/support/replacement.py, beside the conditional
variance. It takes some minutes.
"""

from __future__ import annotations

import csv
import itertools
import sys
from pathlib import Path

from bench import Sampler
from bench_tasks.conditional import conditional
from bench_tasks.known import Completion
from tests.support.completions import SDES, build_task, pc, thinned
from tests.support.replacement import replaced

SIDE, SNR = 8, 0.16
MOVES = (0, 1, 2, 4, 8)
STEPS = (50,)
TASKS = {"inpaint left": ("inpaint", {"mask": "left"}), "colorize": ("colorize", {})}


def write(
    folder: Path, side: int = SIDE, moves: tuple[int, ...] = MOVES, steps: tuple[int, ...] = STEPS
) -> None:
    """Write the table, of images of a side length, by corrector moves and by steps."""
    folder.mkdir(parents=True, exist_ok=True)
    data, color = thinned(side)
    with (folder / "replacement.csv").open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["task", "sde", "steps", *(f"{m} moves" for m in moves), "conditional_variance"])
        for name, (kind, parameters) in TASKS.items():
            task = build_task(kind, **parameters)
            assert isinstance(task, Completion)
            axes, mask = task.part((3, side, side))
            total = conditional(data.variance[0], color, axes, mask > 0).variance.sum()
            for sde, count in itertools.product(SDES, steps):
                values = [replaced(sampler(sde, count, m), task, side) for m in moves]
                row = [name, sde, count, *(f"{value:.4g}" for value in values), f"{total:.4g}"]
                writer.writerow(row)
                print(*row, flush=True)


def sampler(sde: str, steps: int, moves: int) -> Sampler:
    """Reverse diffusion with a number of corrector moves per noise level."""
    if not moves:
        return pc(sde, steps=steps)
    return pc(sde, "reverse_diffusion", "annealed_langevin", {"snr": SNR, "steps": moves}, steps=steps)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
