#!/usr/bin/env bash
# diffusers: FlowMatchEulerDiscreteScheduler(shift=s) shifts the end of its time grid twice. Its sigma_min is the
# shifted one already, set_timesteps makes an even grid down to that, and shifts the grid again. With shift 3 the
# last call is at sigma 0.0089 where one shift of the first training step, 0.001, gives 0.0030, at every number of
# steps: the last step, to sigma 0, is three times as long as the grid's formula says. The scheduler's attribute
# sigma_min still tells 0.0030.
#
# Seen with diffusers 0.42.1 and PyTorch 2.13.0. It fails if the last sigma changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 scipy==1.17.1 \
    diffusers==0.42.1

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import diffusers
import torch

print(f"diffusers {diffusers.__version__}, torch {torch.__version__}")
as_described = True
for shift in (1.0, 3.0, 6.0):
    once = shift * 0.001 / (1 + (shift - 1) * 0.001)
    twice = shift * once / (1 + (shift - 1) * once)
    for steps in (4, 10, 50):
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(steps)
        last, told = float(scheduler.sigmas[-2]), float(scheduler.sigma_min)
        print(f"shift {shift:.0f}, {steps:2} steps: last sigma {last:.6f}, sigma_min {told:.6f}, "
              f"0.001 shifted once {once:.6f}, twice {twice:.6f}")
        as_described &= abs(last - twice) < 1e-6 and abs(told - once) < 1e-6
if not as_described:
    sys.exit("changed: the last sigma is another one")
print("as described: the last sigma is shifted twice, sigma_min once")
PYTHON
