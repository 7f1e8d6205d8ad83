"""The bias of completion by replacement, by corrector moves and steps, without sampling noise.

    python -m tests.benchmarks.replacement results/reference

writes replacement.csv: ``conditional_fd`` of reverse diffusion with annealed Langevin on `gaussian-cifar10`
thinned to 8 x 8 coefficients, by the recursion of tests/replacement.py, beside the conditional variance. It
takes some minutes.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from bench_tasks.conditional import conditional
from bench_tasks.known import Completion
from tests.completions import SDES, pc, task, thinned
from tests.replacement import replaced

SIDE, SNR = 8, 0.16
MOVES = (0, 1, 2, 4, 8)
STEPS = (50, 200)
GIVEN = {"inpaint left": ("inpaint", {"mask": "left"}), "colorize": ("colorize", {})}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    data, colour = thinned(SIDE)
    with (folder / "replacement.csv").open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(
            ["task", "sde", "steps", *(f"{moves} moves" for moves in MOVES), "conditional_variance"]
        )
        for name, (kind, given) in GIVEN.items():
            made = task(kind, **given)
            assert isinstance(made, Completion)
            axes, mask = made.part((3, SIDE, SIDE))
            most = conditional(data.variance[0], colour, axes, mask > 0).variance.sum()
            for sde in SDES:
                for steps in STEPS:
                    found = []
                    for moves in MOVES:
                        corrector = ("annealed_langevin", {"snr": SNR, "steps": moves})
                        how = corrector if moves else ("none", {})
                        found.append(replaced(pc(sde, "reverse_diffusion", *how, steps=steps), made, SIDE))
                    row = [name, sde, steps, *(f"{value:.4g}" for value in found), f"{most:.4g}"]
                    writer.writerow(row)
                    handle.flush()
                    print(*row)


if __name__ == "__main__":
    main()
