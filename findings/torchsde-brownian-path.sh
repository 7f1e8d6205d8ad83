#!/usr/bin/env bash
# torchsde: two BrownianIntervals with one entropy are not one Brownian path. By default the increment over
# [0, 1/2] depends on how the interval was asked before, that is on the solver's step size; the end point W(1)
# alone stays the same. So solutions of one seed at two step sizes are not two approximations of one path, and
# an error between them falls no faster than in law. halfway_tree=True, or BrownianTree, give one path.
#
# Seen with torchsde 0.2.6 and PyTorch 2.13.0. It fails if the default becomes one path.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 torchsde==0.2.6

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchsde

GRIDS = ([0, 0.5, 1.0], [0, 0.25, 0.5, 0.75, 1.0], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0])


def half_and_whole(brownian, grid):
    """W(1/2) and W(1) as sums of the increments that a solver with this grid asks for, in its order."""
    increments = [brownian(a, b) for a, b in zip(grid[:-1], grid[1:])]
    return sum(increments[: grid.index(0.5)]), sum(increments)


def spread(make):
    """Largest difference over the grids, of W(1/2) and of W(1)."""
    values = [half_and_whole(make(), grid) for grid in GRIDS]
    return [max(float((v[k] - values[0][k]).abs().max()) for v in values) for k in (0, 1)]


common = dict(t0=0.0, t1=1.0, size=(1000,), dtype=torch.float64, entropy=1)
tree = dict(t0=0.0, t1=1.0, w0=torch.zeros(1000, dtype=torch.float64), entropy=1)
kinds = {
    "BrownianInterval(entropy=1)": lambda: torchsde.BrownianInterval(**common),
    "BrownianInterval(entropy=1, halfway_tree=True)": lambda: torchsde.BrownianInterval(
        **common, halfway_tree=True, tol=1e-6
    ),
    "BrownianTree(entropy=1)": lambda: torchsde.BrownianTree(**tree),
}
print(f"torchsde {torchsde.__version__}, torch {torch.__version__}")
print("largest difference among 3 grids of one seed, 1000 paths")
spreads = {name: spread(make) for name, make in kinds.items()}
for name, (half, whole) in spreads.items():
    print(f"{name:48} W(1/2) {half:8.1e}   W(1) {whole:8.1e}")
(interval, end), *others = spreads.values()
if not (interval > 1 and end < 1e-12 and all(half < 1e-3 for half, _ in others)):
    sys.exit("changed: the default interval is one path, or the trees are not")
print("as described: the default interval's path depends on the grid")
PYTHON
