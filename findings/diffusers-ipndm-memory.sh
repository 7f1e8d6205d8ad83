#!/usr/bin/env bash
# diffusers: IPNDMScheduler keeps every network output of a run, though its formula takes four at most: memory
# grows by one batch of images per step. The other multistep schedulers keep a fixed number.
#
# Seen with diffusers 0.42.1 and PyTorch 2.13.0. It fails if a scheduler keeps another number.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 diffusers==0.42.1

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import diffusers
import torch

diffusers.utils.logging.set_verbosity_error()
SHAPE = (2, 3, 16, 16)
NAMES = (
    "IPNDMScheduler",
    "PNDMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)


def states_in(value):
    """Addresses of the tensors of a state's shape in a value."""
    if isinstance(value, torch.Tensor):
        return {value.data_ptr()} if value.shape == SHAPE else set()
    if isinstance(value, list | tuple):
        return set().union(*map(states_in, value))
    return set()


def kept(name, steps):
    """How many tensors of a state's shape the scheduler holds after a run."""
    scheduler = getattr(diffusers, name)()
    scheduler.set_timesteps(steps)
    x = torch.randn(SHAPE)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.randn(SHAPE), t, x).prev_sample
    return len(set().union(*map(states_in, vars(scheduler).values())))


print(f"diffusers {diffusers.__version__}, torch {torch.__version__}")
as_described = True
for name in NAMES:
    few, many = kept(name, 20), kept(name, 200)
    print(f"{name:28} keeps {few:3} states after 20 steps, {many:3} after 200")
    as_described &= (few, many) == (20, 200) if name == "IPNDMScheduler" else few == many <= 8
if not as_described:
    sys.exit("changed: a scheduler keeps another number of states")
print("as described: one of the five keeps as many as it has steps")
PYTHON
