#!/usr/bin/env bash
# torchdiffeq and torch: an adaptive solver's result depends on torch's number of CPU threads. The error norm is one
# mean over the whole batch, and torch divides a sum of 32,768 numbers or more into one number among its threads, so
# that its rounding, and with it every step size, is another for another number of threads. Sums of rows into
# several numbers are not divided within a row: a norm that adds up rows first gives the same bits on any number.
#
# Seen with torchdiffeq 0.2.5 and PyTorch 2.13.0. It fails if the results agree, or if those by rows differ.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 scipy==1.17.1 \
    torchdiffeq==0.2.5

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchdiffeq

ROWS, COLUMNS = 64, 3072
START = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(0))
SPEEDS = torch.linspace(0.1, 20.0, COLUMNS)
TIMES = torch.tensor([0.0, 1.0])


def by_rows(x):
    """The root mean square, of sums of rows."""
    return (x.square().sum(1).sum() / x.numel()).sqrt()


def solve(threads, **options):
    torch.set_num_threads(threads)
    field = lambda t, y: -SPEEDS * y
    return torchdiffeq.odeint(field, START, TIMES, rtol=1e-3, atol=1e-3, method="dopri5", options=options)[-1]


print(f"torchdiffeq {torchdiffeq.__version__}, torch {torch.__version__}; y' = -speed y, {ROWS} x {COLUMNS} numbers")
differences = {}
for name, options in (("its own norm", {}), ("the norm by rows", {"norm": by_rows})):
    one, two, four = (solve(threads, **options) for threads in (1, 2, 4))
    differences[name] = max(float((one - two).abs().max()), float((one - four).abs().max()))
    print(f"{name}: largest difference between 1, 2 and 4 threads {differences[name]:.1e}")
if not (differences["its own norm"] > 0 and differences["the norm by rows"] == 0):
    sys.exit("changed: the number of threads decides otherwise")
print("as described: the number of threads decides the steps, unless rows are added up first")
PYTHON
